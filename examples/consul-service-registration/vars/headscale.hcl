# headscale: tailnet_domain is its dns.base_domain. It gives no certificates, so http inside of WireGuard.
login_server   = "https://headscale.example.com"
tailnet_domain = "tailnet.example.com"
serve_scheme   = "http"
