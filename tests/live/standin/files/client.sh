#!/bin/sh
# client.sh SERVER...: a Nomad client with a Docker engine of its own and a Consul agent; ends with Nomad's agent.
set -eu
consul agent -config-file /notailcar/consul.hcl -config-file /notailcar/own-consul.json > /var/log/consul.log 2>&1 &
consul=$!
# shellcheck source=fixtures/nomad/engine.sh
. /notailcar/engine.sh
# Nomad looks for Consul when it starts, and then only every 15 s (nomad, client/fingerprint/consul.go).
until curl -s http://127.0.0.1:8500/v1/status/leader | grep -q :; do
    kill -0 "$consul"
    sleep 0.02
done
# A client that finds no leader tries again after 15 to 30 s only (nomad, client/client.go, registerRetryIntv).
leader() {
    curl -s --max-time 2 --cacert /notailcar/cluster-ca.pem --connect-to "::$1:4646" \
        https://server.global.nomad:4646/v1/status/leader
}
until leader "$1" | grep -q :; do sleep 0.05; done
exec nomad agent -config /notailcar/nomad.hcl -config /notailcar/client.hcl -config /notailcar/own.json
