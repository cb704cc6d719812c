# A Tailscale Service: a name and addresses of its own in the tailnet, which any number of allocations may
# stand behind. Its configuration is a file that Nomad renders and `tailscale serve set-config` applies; no
# port is published. See README.md for what that promises and what it does not.
#
# From the repository's root, which is where file() looks:
#   nomad job run examples/private-serve-config/private-serve-config.nomad.hcl

# --- where ---

variable "datacenters" {
  description = "Datacenters to run in, comma separated"
  type        = string
  default     = "*"
}

# --- the tailnet ---

variable "login_server" {
  description = "Control server: Tailscale's, or one that has Services (headscale has none)"
  type        = string
  default     = "https://controlplane.tailscale.com"
}

variable "tailnet_name" {
  description = "The name of the node, to which the short allocation id is added; nobody looks for it"
  type        = string
  default     = "serve-config-host"
}

variable "secrets_path" {
  description = "The Nomad Variable whose item TS_AUTHKEY is the auth key: ephemeral, reusable, tagged tag:nomad-service"
  type        = string
  default     = "nomad/jobs/notailcar/example/secrets"
}

variable "tailscale_logs" {
  description = "Whether tailscaled may send its logs to Tailscale, who need them to give support"
  type        = bool
  default     = false
}

# --- what is served ---

variable "service_name" {
  description = "The Tailscale Service, with svc: in front; it is defined in the tailnet, and the policy approves its hosts"
  type        = string
  default     = "svc:private-serve-config"
}

variable "serve_scheme" {
  description = "https, with a certificate for the Service's name; or http"
  type        = string
  default     = "https"
}

variable "hosts" {
  description = "How many allocations stand behind the Service"
  type        = number
  default     = 1
}

variable "min_healthy_time" {
  description = "How long the check must have passed before Nomad calls the allocation healthy"
  type        = string
  default     = "5s"
}

variable "check_interval" {
  description = "How often Nomad asks whether the service is in the tailnet, published and alive"
  type        = string
  default     = "5s"
}

variable "web_title" {
  description = "The title of the page"
  type        = string
  default     = "Private Service"
}

# --- images ---

variable "tailscale_image" {
  description = "Holds tailscale and tailscaled"
  type        = string
  default     = "tailscale/tailscale:v1.102.3"
}

variable "health_image" {
  description = "Holds python3, version 3.9 or later"
  type        = string
  default     = "python:3.13-slim"
}

variable "web_image" {
  description = "Holds python3, version 3.10 or later"
  type        = string
  default     = "python:3.13-slim"
}

job "private-serve-config" {
  type        = "service"
  datacenters = [for name in split(",", var.datacenters) : trimspace(name)]

  group "private-serve-config" {
    count = var.hosts

    # One after the other: a Service that has two hosts keeps one while the other is replaced.
    update {
      max_parallel     = 1
      health_check     = "checks"
      min_healthy_time = var.min_healthy_time
      healthy_deadline = "2m"
    }

    # A new allocation is a new node. Again and again, less and less often: a service is to come back.
    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "10m"
      unlimited      = true
    }

    # Logs of four tasks, and tailscaled's state of a few kilobytes.
    ephemeral_disk {
      size = 150
    }

    # Dynamic, so that several of these fit on one client; only the health check listens, on loopback.
    network {
      port "health" {}
    }

    # What Nomad says of the job is what is so: in the tailnet, published, and the backend answers.
    # It is the check's address, on loopback; the Service itself is found by its name in the tailnet.
    service {
      name     = "private-serve-config-health"
      provider = "nomad"
      port     = "health"
      address  = "127.0.0.1"

      check {
        type     = "http"
        path     = "/"
        interval = var.check_interval
        timeout  = "5s"
      }
    }

    task "tailscale" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        image        = var.tailscale_image
        network_mode = "host"
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/sidecar.sh"]

        # Userspace networking opens ordinary sockets: nothing here needs a privilege.
        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 100
      }

      # Other delimiters: a script may hold two braces in a row.
      template {
        data            = file("scripts/tailscale/sidecar.sh")
        destination     = "${NOMAD_TASK_DIR}/sidecar.sh"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        # Logs go to the allocation, not to Tailscale.
        TS_NO_LOGS_NO_SUPPORT = var.tailscale_logs ? "false" : "true"
        # In a datacenter no router opens ports on request; asking for it is only noise on the LAN.
        TS_DISABLE_PORTMAPPER = "1"
      }

      # A sidecar that died comes back with its state, so it is the same node, which is a host of the Service
      # already.
      restart {
        attempts = 3
        delay    = "1s"
        interval = "10m"
        mode     = "fail"
      }

      # Logging out takes up to 5 s, ending tailscaled up to 2.
      kill_timeout = "10s"

      # tailscaled takes about 40 MB at rest; twice that under load, and some room.
      resources {
        cpu    = 200
        memory = 128
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }

    task "health" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        image        = var.health_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/health.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 50
      }

      template {
        data            = file("scripts/tailscale/health.py")
        destination     = "${NOMAD_TASK_DIR}/health.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        HEALTH_OF               = "serve"
        BACKENDS                = "unix:${NOMAD_ALLOC_DIR}/data/web.sock"
        PYTHONDONTWRITEBYTECODE = "1"
      }

      restart {
        attempts = 2
        delay    = "2s"
        interval = "10m"
        mode     = "fail"
      }

      kill_timeout = "5s"

      resources {
        cpu    = 50
        memory = 64
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }

    task "serve" {
      driver = "docker"

      # The leader ends first: the Service is drained before the backend goes, and nobody meets a dead one.
      # Then the backend, and last the sidecar, which leaves the tailnet.
      leader = true

      config {
        image        = var.tailscale_image
        network_mode = "host"
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/serve.sh"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 50
      }

      template {
        data            = file("scripts/tailscale/serve.sh")
        destination     = "${NOMAD_TASK_DIR}/serve.sh"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      # What it shares with the other scripts.
      template {
        data            = file("scripts/tailscale/tailnet.sh")
        destination     = "${NOMAD_TASK_DIR}/tailnet.sh"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      # What is published. Port and name are the Service's own; with more than one line it has more than one
      # port. The backend is a socket in the allocation's folder: no port at all, not even on loopback. (It is
      # also the one kind of backend that speaks plain HTTP and may have HTTPS in front of it here.)
      template {
        data        = <<-JSON
          {
            "version": "0.0.1",
            "services": {
              "${var.service_name}": {
                "endpoints": {
                  "tcp:${var.serve_scheme == "https" ? 443 : 80}": "${var.serve_scheme}://unix:{{ env "NOMAD_ALLOC_DIR" }}/data/web.sock"
                }
              }
            }
          }
        JSON
        destination = "${NOMAD_TASK_DIR}/services.json"
        # A file that has changed is applied by this task's next start.
        change_mode = "restart"
      }

      # A file, in memory and for this task alone: a container's environment can be read by whoever may
      # `docker inspect` it, and a command line by every process of the machine.
      template {
        data        = "{{ with nomadVar \"${var.secrets_path}\" }}{{ .TS_AUTHKEY }}{{ end }}"
        destination = "${NOMAD_SECRETS_DIR}/ts-authkey"
        perms       = "0400"
        # The key is spent once the node has joined; a new one is no reason to disturb it.
        change_mode = "noop"
      }

      env {
        LOGIN_SERVER = var.login_server
        TAILNET_NAME = "${var.tailnet_name}-${NOMAD_SHORT_ALLOC_ID}"
        SERVE_CONFIG = "${NOMAD_TASK_DIR}/services.json"
      }

      # A few tries bridge a control server that is away for a moment; then the allocation fails, with the
      # reason in this task's log.
      restart {
        attempts = 2
        delay    = "5s"
        interval = "10m"
        mode     = "fail"
      }

      # Withdrawing takes a moment, and at most 10 s.
      kill_timeout = "15s"

      # A shell, and the tailscale command for moments.
      resources {
        cpu    = 100
        memory = 96
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }

    task "web" {
      driver = "docker"

      # Nobody: tailscaled takes orders, such as what to publish, from root.
      user = "65534:65534"

      config {
        image        = var.web_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/web.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 100
      }

      template {
        data            = file("examples/private-http-service/web.py")
        destination     = "${NOMAD_TASK_DIR}/web.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      template {
        data            = file("examples/private-http-service/loopback.py")
        destination     = "${NOMAD_TASK_DIR}/loopback.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        LISTEN_SOCKET           = "${NOMAD_ALLOC_DIR}/data/web.sock"
        WEB_TITLE               = var.web_title
        PYTHONDONTWRITEBYTECODE = "1"
      }

      restart {
        attempts = 2
        delay    = "5s"
        interval = "10m"
        mode     = "fail"
      }

      # Requests under way are answered within 10 s.
      kill_timeout = "15s"

      resources {
        cpu    = 100
        memory = 96
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }
  }
}
