# A private HTTP service that Consul's catalogue knows, by the name that it has in the tailnet: whoever reads
# the catalogue learns where it is, and only who may in the tailnet gets there. See README.md.
#
# From the repository's root, which is where file() looks:
#   nomad job run -var-file=examples/consul-service-registration/vars/tailscale.hcl \
#     examples/consul-service-registration/consul-service-registration.nomad.hcl

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
  default     = "consul-service-registration"
}

variable "tailnet_domain" {
  description = "The tailnet's domain, such as example.ts.net: with tailnet_name, the address in the catalogue"
  type        = string
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
  description = "How often the check asks whether the service is in the tailnet, published and alive"
  type        = string
  default     = "5s"
}

# --- what the catalogue is told ---

variable "service_name" {
  description = "The service's name in Consul's catalogue"
  type        = string
  default     = "private-app"
}

variable "deregister_wait" {
  description = "How long the service goes on after the catalogue forgot it, for those who have just asked there"
  type        = string
  default     = "5s"
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

variable "app_image" {
  description = "Holds python3, version 3.10 or later"
  type        = string
  default     = "python:3.13-slim"
}

locals {
  # The name for which there is a certificate, too; a short name would need the reader's search domain.
  address = "${var.tailnet_name}.${var.tailnet_domain}"
}

job "consul-service-registration" {
  type        = "service"
  datacenters = [for name in split(",", var.datacenters) : trimspace(name)]

  group "consul-service-registration" {
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

    # Logs of four tasks, and tailscaled's state of a few kilobytes.
    ephemeral_disk {
      size = 150
    }

    # The catalogue forgets the service first, then it ends.
    shutdown_delay = var.deregister_wait

    # Dynamic, so that several of these fit on one client. Nomad only keeps the numbers apart; who
    # listens does so on loopback.
    network {
      port "app" {}
      port "health" {}
    }

    # What is registered is what is served: the name in the tailnet and the port of Serve, never an address of
    # this client, where nobody listens.
    service {
      name     = var.service_name
      provider = "consul"
      address  = local.address
      port     = var.serve_scheme == "https" ? "443" : "80"
      tags     = ["tailnet"]

      meta {
        scheme = var.serve_scheme
      }

      # By script, in the task that knows: Consul's agent is in no tailnet, so a check by HTTP at the registered
      # address could never pass. It goes where the health check listens, on the allocation's loopback.
      check {
        name     = "in the tailnet, published, alive"
        type     = "script"
        task     = "health"
        command  = "python3"
        args     = ["${NOMAD_TASK_DIR}/ask_health.py"]
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

      # A sidecar that died comes back with its state, so it is the same node, and the name stays its own; a
      # new node would have to wait until the control server has forgotten the old one.
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

      # What the check in Consul runs.
      template {
        data            = file("scripts/tailscale/ask_health.py")
        destination     = "${NOMAD_TASK_DIR}/ask_health.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        HEALTH_OF               = "serve"
        BACKENDS                = "http://127.0.0.1:${NOMAD_PORT_app}/healthz"
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

      # The leader ends first: Serve is withdrawn before the backend goes, and nobody meets a dead one.
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
        SERVE        = "${var.serve_scheme}/=${NOMAD_PORT_app}"
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

    task "app" {
      driver = "docker"

      # Nobody: tailscaled takes orders, such as what to publish, from root.
      user = "65534:65534"

      config {
        image        = var.app_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/app.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 100
      }

      template {
        data            = file("examples/consul-service-registration/app.py")
        destination     = "${NOMAD_TASK_DIR}/app.py"
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
        LISTEN_PORT             = "${NOMAD_PORT_app}"
        SERVICE_NAME            = var.service_name
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
