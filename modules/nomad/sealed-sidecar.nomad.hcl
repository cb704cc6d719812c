# What an allocation needs that has no network of its own and goes out by an exit node, to be pasted into a job of
# your own: README.md says how, and when to take this rather than egress-sidecar.nomad.hcl. Five pieces, each between
# `paste` and `end`. What stands outside of them is only there so that this file is a whole job, which Nomad can
# check; what says `change` is yours to change, the rest is proven as it is. The sealed examples hold the same
# pieces, and tests/modules shows that they do.

# paste 1: at the top of the file, beside your own variables

# --- the tailnet ---

variable "login_server" {
  description = "Control server: Tailscale's, or your headscale"
  type        = string
  default     = "https://controlplane.tailscale.com" # change, if it is headscale
}

variable "tailnet_name" {
  description = "The node's name in the tailnet; the short allocation id is added, so that it is unique"
  type        = string
  default     = "my-worker" # change
}

variable "secrets_path" {
  description = "The Nomad Variable whose item TS_AUTHKEY is the auth key: ephemeral, reusable, tagged tag:nomad-worker"
  type        = string
  default     = "nomad/jobs/my-worker" # change; without a policy, a job reads nomad/jobs/<its own name> only
}

variable "tailscale_logs" {
  description = "Whether tailscaled may send its logs to Tailscale, who need them to give support"
  type        = bool
  default     = false
}

variable "uplink_allow" {
  description = "What the allocation may reach besides the login server, comma separated HOST:PORT: the tailnet's DERP servers"
  type        = string
  default     = "derp*.tailscale.com:443"
}

# --- the way out ---
# Lists are comma separated text, so that they can be given as -var KEY=A,B without any quoting.

variable "exit_node" {
  description = "The exit node: its name or its tailnet address (vars/ holds one file for each of ours)"
  type        = string
}

variable "fallback_exit_nodes" {
  description = "Exit nodes to try when that one is not there, in order, comma separated"
  type        = string
  default     = ""
}

variable "check_url" {
  description = "A URL that answers with the caller's address as plain text, by http; empty: the exit is not checked from outside"
  type        = string
  default     = ""
}

variable "expected_egress" {
  description = "The addresses that check_url may see, those of the fallbacks too, comma separated; empty: any"
  type        = string
  default     = ""
}

variable "exit_wait" {
  description = "Seconds to wait for an exit node that is not there yet"
  type        = number
  default     = 5
}

variable "guard_restarts" {
  description = "How often a guard that refused is tried again before the allocation fails"
  type        = number
  default     = 2
}

variable "check_interval" {
  description = "How often Nomad asks whether the exit node is there and carries the traffic"
  type        = string
  default     = "10s"
}

# --- images ---

variable "tailscale_image" {
  description = "Holds tailscale and tailscaled"
  type        = string
  default     = "tailscale/tailscale:v1.102.3"
}

variable "guard_image" {
  description = "Holds tailscale, and curl or wget (curl for a check_url by https); empty: the tailscale image"
  type        = string
  default     = ""
}

variable "uplink_image" {
  description = "Holds python3, version 3.9 or later"
  type        = string
  default     = "python:3.13-slim"
}

locals {
  guard_image = var.guard_image != "" ? var.guard_image : var.tailscale_image

  # The allocation's own network: a namespace with nothing but loopback, which comes and goes with tailscale's
  # container. Its ports are nobody else's, so they need not be dynamic.
  sealed     = "container:tailscale-${NOMAD_ALLOC_ID}"
  socks_port = 1055
  http_port  = 1056

  # A container can only join one that runs, and prestart tasks are all started at the same time. So those who
  # join wait for the service that Nomad registers when tailscale's container is there: until then, this asks
  # for a variable that there is not, at the one path that is the task's alone.
  when_sealed = <<-EOT
    {{ $here := env "NOMAD_ALLOC_ID" }}{{ $there := false }}
    {{ range nomadService "sealed-network" }}{{ if eq .AllocID $here }}{{ $there = true }}{{ end }}{{ end }}
    {{ if not $there }}{{ printf "nomad/jobs/%s/%s/%s" (env "NOMAD_JOB_ID") (env "NOMAD_GROUP_NAME") (env "NOMAD_TASK_NAME") | nomadVar }}{{ end }}
  EOT
}

# end 1

job "my-worker" {
  type = "batch"

  group "my-worker" {
    # paste 2: in the group

    # For Nomad's check alone, on the client's loopback: the uplink leads it to the sealed network.
    network {
      port "health" {}
    }

    # What Nomad says of the job is what is so: in the tailnet, the exit node there and carrying traffic.
    # `nomad alloc checks` shows it. It is the check's address, on loopback; nothing is served by it.
    service {
      name     = "my-worker-health" # change
      provider = "nomad"
      port     = "health"
      address  = "127.0.0.1"

      check {
        type     = "http"
        path     = "/"
        interval = var.check_interval
        timeout  = "10s"
      }
    }

    # end 2

    # paste 3: in the group, before your own tasks

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
        NOMAD_PORT_socks              = local.socks_port
        NOMAD_PORT_http               = local.http_port
      }

      # No restart: the network goes with this container, and the others would stay in one that is dead. So
      # a sidecar that dies ends the allocation, and the worker with it.
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
        HEALTH_OF           = "egress"
        HTTP_PROXY_ADDRESS  = "127.0.0.1:${local.http_port}"
        EXIT_NODE           = var.exit_node
        FALLBACK_EXIT_NODES = var.fallback_exit_nodes
        CHECK_URL           = var.check_url
        EXPECTED_EGRESS     = var.expected_egress
        # Whether the exit is there is asked at each check; check_url, which may be somebody else's, once a minute.
        CHECK_KEEP              = "60"
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

    task "egress-guard" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      config {
        image        = local.guard_image
        network_mode = local.sealed
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/egress-guard.sh"]

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
        data            = file("scripts/tailscale/egress-guard.sh")
        destination     = "${NOMAD_TASK_DIR}/egress-guard.sh"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      # What the guard shares with the other scripts.
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
        LOGIN_SERVER        = var.login_server
        TAILNET_NAME        = "${var.tailnet_name}-${NOMAD_SHORT_ALLOC_ID}"
        EXIT_NODE           = var.exit_node
        FALLBACK_EXIT_NODES = var.fallback_exit_nodes
        EXIT_WAIT           = var.exit_wait
        HTTP_PROXY_ADDRESS  = "127.0.0.1:${local.http_port}"
        CHECK_URL           = var.check_url
        EXPECTED_EGRESS     = var.expected_egress
      }

      # The worker waits for success. A few tries bridge an exit node that is just starting; then the
      # allocation fails, with the guard's reason in its log.
      restart {
        attempts = var.guard_restarts
        delay    = "2s"
        interval = "10m"
        mode     = "fail"
      }

      kill_timeout = "5s"

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

    # end 3

    task "worker" {
      driver = "docker"

      # Not root: tailscaled takes orders, such as "no exit node", from root, and the relay lets root through.
      user = "65534:65534"

      config {
        image = "example.com/my-worker:1.0"
        # paste 4: in the config of each task, of which none is on the host's network
        network_mode = local.sealed
        # end 4
      }

      env {
        # paste 5: in the env of each task that goes out

        # Both spellings: curl reads only the lower one for http, others only the upper one.
        HTTP_PROXY  = "http://127.0.0.1:${local.http_port}"
        HTTPS_PROXY = "http://127.0.0.1:${local.http_port}"
        http_proxy  = "http://127.0.0.1:${local.http_port}"
        https_proxy = "http://127.0.0.1:${local.http_port}"
        # socks5h, not socks5: with it names are resolved at the exit, and not by the node's own resolver.
        ALL_PROXY = "socks5h://127.0.0.1:${local.socks_port}"
        all_proxy = "socks5h://127.0.0.1:${local.socks_port}"
        # Set, and empty: nothing bypasses, whatever the image brings along.
        NO_PROXY = ""
        no_proxy = ""

        # end 5
      }
    }
  }
}
