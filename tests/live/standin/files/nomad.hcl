# What every Nomad agent of the stand-in has in common: TLS for everything, ACLs on, no Consul but where one is.
data_dir             = "/var/lib/nomad"
bind_addr            = "0.0.0.0"
disable_update_check = true

acl {
  enabled = true
}

tls {
  http                   = true
  rpc                    = true
  ca_file                = "/notailcar/cluster-ca.pem"
  cert_file              = "/notailcar/tls.pem"
  key_file               = "/notailcar/tls.key"
  verify_server_hostname = true
  # Whoever has the CA's certificate and a token may come, as in most clusters.
  verify_https_client = false
}

consul {
  auto_advertise   = false
  server_auto_join = false
  client_auto_join = false
}
