# One of the three Nomad servers; what is its own stands in own.json.
server {
  enabled          = true
  bootstrap_expect = 3
  # The shortest that there is: about a second until a leader is missed, and another is elected.
  raft_multiplier = 1

  server_join {
    retry_interval = "300ms"
  }
}
