# Tailscale: its name for your tailnet stands in the admin console under DNS.
tailnet_domain = "example.ts.net"
