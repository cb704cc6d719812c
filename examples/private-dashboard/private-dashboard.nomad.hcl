# An admin dashboard that only the tailnet reaches, by HTTPS: it listens on loopback, and Tailscale Serve leads
# to it, with a certificate. No port is published; see README.md for what that promises and what it does not.
#
# From the repository's root, which is where file() looks:
#   nomad job run examples/private-dashboard/private-dashboard.nomad.hcl

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
  default     = "private-dashboard"
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
  description = "How often Nomad asks whether the service is in the tailnet, published and alive"
  type        = string
  default     = "5s"
}

variable "dashboard_title" {
  description = "The title of the page"
  type        = string
  default     = "Private dashboard"
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

variable "dashboard_image" {
  description = "Holds python3, version 3.10 or later"
  type        = string
  default     = "python:3.13-slim"
}

job "private-dashboard" {
  type        = "service"
  datacenters = [for name in split(",", var.datacenters) : trimspace(name)]

  group "private-dashboard" {
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

    # Dynamic, so that several of these fit on one client. Nomad only keeps the numbers apart; who
    # listens does so on loopback.
    network {
      port "dashboard" {}
      port "health" {}
    }

    # What Nomad says of the job is what is so: in the tailnet, published, and the backend answers.
    # It is the check's address, on loopback; the service itself is found by its name in the tailnet.
    service {
      name     = "private-dashboard-health"
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

      env {
        HEALTH_OF               = "serve"
        BACKENDS                = "http://127.0.0.1:${NOMAD_PORT_dashboard}/healthz"
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
        SERVE        = "${var.serve_scheme}/=${NOMAD_PORT_dashboard}"
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

    task "dashboard" {
      driver = "docker"

      # Nobody: tailscaled takes orders, such as what to publish, from root.
      user = "65534:65534"

      config {
        image        = var.dashboard_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/dashboard.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 100
      }

      template {
        data            = file("examples/private-dashboard/dashboard.py")
        destination     = "${NOMAD_TASK_DIR}/dashboard.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      template {
        data            = file("examples/private-dashboard/index.html")
        destination     = "${NOMAD_TASK_DIR}/index.html"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      template {
        data            = file("examples/private-dashboard/dashboard.css")
        destination     = "${NOMAD_TASK_DIR}/dashboard.css"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      template {
        data            = file("examples/private-dashboard/dashboard.js")
        destination     = "${NOMAD_TASK_DIR}/dashboard.js"
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
        LISTEN_PORT             = "${NOMAD_PORT_dashboard}"
        DASHBOARD_TITLE         = var.dashboard_title
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
