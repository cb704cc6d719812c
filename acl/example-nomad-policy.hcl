# Needed where Nomad's ACLs are on: a job reads, by itself, only Variables below nomad/jobs/<its own name>.
# This lets one more job read what the examples keep their auth key in, and nothing else:
#   nomad acl policy apply -namespace default -job egress-worker egress-worker-secrets acl/example-nomad-policy.hcl
namespace "default" {
  variables {
    path "nomad/jobs/notailcar/example/secrets" {
      capabilities = ["read"]
    }
  }
}
