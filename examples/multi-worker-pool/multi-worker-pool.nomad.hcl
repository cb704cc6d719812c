# A pool of workers that share one list of work, each out by a Tailscale exit node, each a tailnet node of its
# own. See README.md for what that promises and what it does not.
#
# From the repository's root, which is where file() looks:
#   nomad job run -var-file=examples/multi-worker-pool/vars/exit-a.hcl examples/multi-worker-pool/multi-worker-pool.nomad.hcl

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
  description = "The node's name in the tailnet; the short allocation id is added, so that it is unique"
  type        = string
  default     = "multi-worker-pool"
}

variable "secrets_path" {
  description = "The Nomad Variable whose item TS_AUTHKEY is the auth key: ephemeral, reusable, tagged tag:nomad-worker"
  type        = string
  default     = "nomad/jobs/notailcar/example/secrets"
}

variable "tailscale_logs" {
  description = "Whether tailscaled may send its logs to Tailscale, who need them to give support"
  type        = bool
  default     = false
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

variable "gate_patience" {
  description = "Seconds that the gate may be closed for before the allocation fails and is rescheduled; 0: for ever"
  type        = number
  default     = 60
}

variable "check_interval" {
  description = "How often Nomad asks whether the exit node is there and carries the traffic"
  type        = string
  default     = "10s"
}

# --- the pool ---

variable "pool_size" {
  description = "How many workers: allocations, each with a sidecar, a guard and a tailnet node of its own"
  type        = number
  default     = 3
}

variable "pool_urls" {
  description = "The work of the whole pool, comma separated; each worker does its share of it"
  type        = string
  default     = "https://example.com/,https://example.org/,https://example.net/,https://www.iana.org/,https://api.ipify.org/,http://api.ipify.org/"
}

variable "pool_interval" {
  description = "Seconds from the start of one request of a worker to the next, as text, as it may be a fraction"
  type        = string
  default     = "0.1"
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

variable "gate_image" {
  description = "Holds python3, version 3.11 or later"
  type        = string
  default     = "python:3.13-slim"
}

variable "worker_image" {
  description = "Holds python3, version 3.11 or later"
  type        = string
  default     = "python:3.13-slim"
}

locals {
  guard_image = var.guard_image != "" ? var.guard_image : var.tailscale_image
}

job "multi-worker-pool" {
  type        = "batch"
  datacenters = [for name in split(",", var.datacenters) : trimspace(name)]

  group "multi-worker-pool" {
    count = var.pool_size

    # A new allocation is a new node with a new guard, and takes the place of the one that failed: once,
    # later, and maybe elsewhere. More would only hide an exit that is gone.
    reschedule {
      attempts  = 1
      interval  = "24h"
      delay     = "30s"
      unlimited = false
    }

    # Logs of four tasks, and tailscaled's state of a few kilobytes.
    ephemeral_disk {
      size = 150
    }

    # Dynamic, so that several of these fit on one client. Nomad only keeps the numbers apart; who
    # listens is the gate, on loopback.
    network {
      port "socks" {}
      port "http" {}
      port "health" {}
    }

    # What Nomad says of the job is what is so: in the tailnet, the exit node there and carrying traffic.
    # `nomad alloc checks` shows it. It is the check's address, on loopback; nothing is served by it.
    service {
      name     = "multi-worker-pool-health"
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
        # No proxies of its own: without an exit node they would send straight out. The gate has them.
        TS_SOCKS_PORT = ""
        TS_HTTP_PORT  = ""
      }

      # With its state it is in the tailnet again within a second or so, and the gate is closed until then.
      restart {
        attempts = 2
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

    task "gate" {
      driver = "docker"

      lifecycle {
        hook    = "prestart"
        sidecar = true
      }

      config {
        image        = var.gate_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/gate.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 50
      }

      template {
        data            = file("scripts/tailscale/gate.py")
        destination     = "${NOMAD_TASK_DIR}/gate.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      template {
        data            = file("scripts/tailscale/gate_doors.py")
        destination     = "${NOMAD_TASK_DIR}/gate_doors.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      template {
        data            = file("scripts/tailscale/gate_way.py")
        destination     = "${NOMAD_TASK_DIR}/gate_way.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      # It answers Nomad's check, too.
      template {
        data            = file("scripts/tailscale/health.py")
        destination     = "${NOMAD_TASK_DIR}/health.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        GATE_PATIENCE       = var.gate_patience
        HEALTH_OF           = "egress"
        EXIT_NODE           = var.exit_node
        FALLBACK_EXIT_NODES = var.fallback_exit_nodes
        CHECK_URL           = var.check_url
        EXPECTED_EGRESS     = var.expected_egress
        # Whether the exit is there is asked at each check; check_url, which may be somebody else's, once a minute.
        CHECK_KEEP              = "60"
        PYTHONDONTWRITEBYTECODE = "1"
      }

      # It ends where the exit has been gone for too long. A new allocation, with a new guard, is what helps
      # then, not another gate.
      restart {
        attempts = 0
        mode     = "fail"
      }

      kill_timeout = "5s"

      # Some 25 MB at rest, and up to 400 kB for each connection that waits for somebody slow.
      resources {
        cpu    = 100
        memory = 128
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
        network_mode = "host"
        command      = "/bin/sh"
        args         = ["${NOMAD_TASK_DIR}/egress-guard.sh"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 50
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

    task "worker" {
      driver = "docker"

      # Nobody: tailscaled takes orders, such as "no exit node", from root.
      user = "65534:65534"

      config {
        image        = var.worker_image
        network_mode = "host"
        command      = "python3"
        args         = ["-u", "${NOMAD_TASK_DIR}/worker.py"]

        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        pids_limit      = 100
      }

      template {
        data            = file("examples/multi-worker-pool/worker.py")
        destination     = "${NOMAD_TASK_DIR}/worker.py"
        left_delimiter  = "<%nomad"
        right_delimiter = "nomad%>"
        change_mode     = "noop"
      }

      env {
        # Both spellings: curl reads only the lower one for http, others only the upper one.
        HTTP_PROXY  = "http://127.0.0.1:${NOMAD_PORT_http}"
        HTTPS_PROXY = "http://127.0.0.1:${NOMAD_PORT_http}"
        http_proxy  = "http://127.0.0.1:${NOMAD_PORT_http}"
        https_proxy = "http://127.0.0.1:${NOMAD_PORT_http}"
        # socks5h, not socks5: with it names are resolved at the exit, and not by the node's own resolver.
        ALL_PROXY = "socks5h://127.0.0.1:${NOMAD_PORT_socks}"
        all_proxy = "socks5h://127.0.0.1:${NOMAD_PORT_socks}"
        # Set, and empty: nothing bypasses, whatever the image brings along.
        NO_PROXY = ""
        no_proxy = ""

        POOL_URLS = var.pool_urls
        # The place in the pool is NOMAD_ALLOC_INDEX, which Nomad gives to each task.
        POOL_SIZE     = var.pool_size
        POOL_INTERVAL = var.pool_interval
        # A request ends before kill_timeout does.
        POOL_TIMEOUT            = "10"
        PYTHONDONTWRITEBYTECODE = "1"
      }

      # Nomad does not run the guard again for it; the exit node stays set as long as the sidecar runs.
      restart {
        attempts = 1
        delay    = "5s"
        interval = "10m"
        mode     = "fail"
      }

      # It ends within the request that it is at, which takes 10 s at most.
      kill_timeout = "15s"

      resources {
        cpu    = 200
        memory = 128
      }

      logs {
        max_files     = 3
        max_file_size = 5
      }
    }
  }
}
