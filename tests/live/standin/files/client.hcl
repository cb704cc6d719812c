# One of the two Nomad clients; what is its own stands in own.json.
client {
  enabled     = true
  gc_interval = "24h"
  # Nothing of the stand-in is worth the look for a cloud's metadata service.
  options = {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
  }
}

plugin "docker" {
  config {
    volumes {
      enabled = true
    }
    # The examples' images are offered under their own names and cannot be pulled again.
    gc {
      image = false
    }
  }
}
