# What every Consul agent of the stand-in has in common; what is its own stands in own-consul.json.
data_dir             = "/var/lib/consul"
disable_update_check = true
log_level            = "warn"

performance {
  raft_multiplier = 1
}
# A catalogue with checks is all that the examples ask for.
connect {
  enabled = false
}
ports {
  dns      = -1
  grpc     = -1
  grpc_tls = -1
  serf_wan = -1
}
