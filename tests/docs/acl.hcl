# A second Nomad agent in the lab's node, with ACLs on, beside the lab's own.
disable_update_check = true

acl {
  enabled = true
}

ports {
  http = 14646
  rpc  = 14647
  serf = 14648
}

consul {
  auto_advertise   = false
  server_auto_join = false
  client_auto_join = false
}

client {
  enabled          = true
  alloc_dir        = "/var/lib/nomad-acl/alloc"
  gc_interval      = "24h"
  min_dynamic_port = 40000
  max_dynamic_port = 50000
  options = {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
  }
}

plugin "docker" {
  config {
    volumes {
      enabled = true
    }
    # The engine and its containers are those of the lab's own agent too.
    gc {
      image = false
      dangling_containers {
        enabled = false
      }
    }
  }
}
