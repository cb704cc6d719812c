# An HTTP service that only the tailnet reaches: it has no network but its own loopback, and Tailscale Serve leads
# to it. Nothing of it is on the client's network; see README.md for what that promises and what it does not.
#
# From the repository's root, which is where file() looks:
#   nomad job run examples/sealed-private-service/sealed-private-service.nomad.hcl

# --- where ---

variable "datacenters" {
  description = "Datacenters to run in, comma separated"
  type        = string
  default     = "*"
}

# --- the tailnet ---

variable "login_server" {
  description = "Control server: Tailscale's, or your headscale"
  type        = string
  default     = "https://controlplane.tailscale.com"
}

variable "tailnet_name" {
  description = "The name by which the service is found in the tailnet; no other node may have it"
  type        = string
  default     = "sealed-private-service"
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

variable "uplink_allow" {
  description = "What the allocation may reach besides the login server, comma separated HOST:PORT: DERP servers, and who gives certificates"
  type        = string
  default     = "derp*.tailscale.com:443,acme-v02.api.letsencrypt.org:443"
}

# --- what is served ---

variable "serve_scheme" {
  description = "https, with a certificate that Tailscale provides; or http, where the control server has none (headscale)"
  type        = string
  default     = "https"
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
  default     = "Private page"
}

# --- images ---

variable "tailscale_image" {
  description = "Holds tailscale and tailscaled"
  type        = string
  default     = "tailscale/tailscale:v1.102.3"
}

variable "uplink_image" {
  description = "Holds python3, version 3.9 or later"
  type        = string
  default     = "python:3.13-slim"
}

variable "web_image" {
  description = "Holds python3, version 3.10 or later"
  type        = string
  default     = "python:3.13-slim"
}

locals {
  # The allocation's own network: a namespace with nothing but loopback, which comes and goes with tailscale's
  # container. Its ports are nobody else's, so they need not be dynamic.
  sealed   = "container:tailscale-${NOMAD_ALLOC_ID}"
  web_port = 8080

  # A container can only join one that runs, and prestart tasks are all started at the same time. So those who
  # join wait for the service that Nomad registers when tailscale's container is there: until then, this asks
  # for a variable that there is not, at the one path that is the task's alone.
  when_sealed = <<-EOT
    {{ $here := env "NOMAD_ALLOC_ID" }}{{ $there := false }}
    {{ range nomadService "sealed-network" }}{{ if eq .AllocID $here }}{{ $there = true }}{{ end }}{{ end }}
    {{ if not $there }}{{ printf "nomad/jobs/%s/%s/%s" (env "NOMAD_JOB_ID") (env "NOMAD_GROUP_NAME") (env "NOMAD_TASK_NAME") | nomadVar }}{{ end }}
  EOT
}

job "sealed-private-service" {
  type        = "service"
  datacenters = [for name in split(",", var.datacenters) : trimspace(name)]

  group "sealed-private-service" {
    # One: the name in the tailnet is for one node.
    count = 1

    # An update starts the new allocation when the old one has left, so that its name is free.
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

    # Logs of five tasks, and tailscaled's state of a few kilobytes.
    ephemeral_disk {
      size = 150
    }

    # For Nomad's check alone, on the client's loopback: the uplink leads it to the sealed network.
    network {
      port "health" {}
    }

    # What Nomad says of the job is what is so: in the tailnet, published, and the backend answers.
    # It is the check's address, on loopback; the service itself is found by its name in the tailnet.
    service {
      name     = "sealed-private-service-health"
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

      # Says to the others that there is a network to join.
      service {
        name     = "sealed-network"
        provider = "nomad"
      }

      config {
        image        = var.tailscale_image
        network_mode = "none"
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
        # To the control server and DERP by the relay, and to nobody otherwise: packets have nowhere to go.
        HTTPS_PROXY               = "http://127.0.0.1:3128"
        TS_DEBUG_NEVER_DIRECT_UDP = "1"
        # With nothing but loopback, tailscaled would wait for a network to come up.
        TS_ASSUME_NETWORK_UP_FOR_TEST = "1"
      }

      # No restart: the network goes with this container, and the others would stay in one that is dead. So
      # a sidecar that dies ends the allocation, and Nomad makes another one.
      restart {
        attempts = 0
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

    task "uplink" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        image        = var.uplink_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/uplink.py", "outside"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 50
      }

      template {
        data            = file("scripts/tailscale/uplink.py")
        destination     = "${NOMAD_TASK_DIR}/uplink.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        LOGIN_SERVER            = var.login_server
        UPLINK_ALLOW            = var.uplink_allow
        PYTHONDONTWRITEBYTECODE = "1"
      }

      # While it is away nothing leaves at all; tailscaled connects anew by itself.
      restart {
        attempts = 5
        delay    = "1s"
        interval = "10m"
        mode     = "fail"
      }

      # tailscaled leaves the tailnet through it: it ends after that, at the latest after 8 s.
      kill_timeout = "10s"

      resources {
        cpu    = 100
        memory = 64
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }

    task "relay" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        image        = var.uplink_image
        network_mode = local.sealed
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/uplink.py", "inside", "python3", "-u", "${NOMAD_TASK_DIR}/health.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 50
      }

      template {
        data        = local.when_sealed
        destination = "${NOMAD_TASK_DIR}/sealed"
        change_mode = "noop"
      }

      template {
        data            = file("scripts/tailscale/uplink.py")
        destination     = "${NOMAD_TASK_DIR}/uplink.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
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
        BACKENDS                = "http://127.0.0.1:${local.web_port}/healthz"
        PYTHONDONTWRITEBYTECODE = "1"
      }

      restart {
        attempts = 2
        delay    = "2s"
        interval = "10m"
        mode     = "fail"
      }

      # As the uplink's: it ends when tailscaled has left the tailnet.
      kill_timeout = "10s"

      resources {
        cpu    = 100
        memory = 96
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }

    task "serve" {
      driver = "docker"

      # The leader ends first: Serve is withdrawn before the backend goes, and nobody meets a dead one.
      # Then the backend, and last the sidecar, which leaves the tailnet.
      leader = true

      config {
        image        = var.tailscale_image
        network_mode = local.sealed
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
        TAILNET_NAME = var.tailnet_name
        SERVE        = "${var.serve_scheme}/=${local.web_port}"
      }

      # A few tries bridge a control server that is away for a moment, or an older node that still has
      # the name; then the allocation fails, with the reason in this task's log.
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

      # Nobody: tailscaled takes orders, such as what to publish, from root, and the relay lets root through.
      user = "65534:65534"

      config {
        image        = var.web_image
        network_mode = local.sealed
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
        LISTEN_PORT             = local.web_port
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
