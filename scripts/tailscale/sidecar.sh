#!/bin/sh
# The sidecar: tailscaled in userspace mode, which needs no device, no capability and no route on the host.
#
#   TS_STATE_FOLDER    state and LocalAPI socket; default: tailscale/ in the allocation's shared folder
#   TS_SOCKS_PORT      port of the SOCKS5 proxy, on loopback; default $NOMAD_PORT_socks; empty: no proxy
#   TS_HTTP_PORT       port of the HTTP proxy, on loopback; default $NOMAD_PORT_http; empty: no proxy
#   TS_LOGOUT_TIMEOUT  seconds that leaving the tailnet may take at the end; default 5
#
# Ends with tailscaled's own exit code, and never with 0 unless it was told to stop.
set -eu

folder=${TS_STATE_FOLDER:-${NOMAD_ALLOC_DIR:-/alloc}/tailscale}
socket=$folder/tailscaled.sock
logout_timeout=${TS_LOGOUT_TIMEOUT:-5}
socks_port=${TS_SOCKS_PORT-${NOMAD_PORT_socks:-}}
http_port=${TS_HTTP_PORT-${NOMAD_PORT_http:-}}

say() {
    printf 'sidecar: %s\n' "$*"
}

# The node's private key is kept here, and whoever reaches the socket as root can change the exit
# node: for this user only, although the folder around it belongs to the whole allocation.
mkdir -p "$folder"
chmod 0700 "$folder"

set -- \
    --tun=userspace-networking \
    --statedir="$folder" \
    --state="$folder/tailscaled.state" \
    --socket="$socket" \
    --port=0

# On loopback only: these proxies ask nobody for a password, and until an exit node is set they
# send straight out.
if [ -n "$socks_port" ]; then
    set -- "$@" --socks5-server="127.0.0.1:$socks_port"
fi
if [ -n "$http_port" ]; then
    set -- "$@" --outbound-http-proxy-listen="127.0.0.1:$http_port"
fi

# tailscaled looks for a way through the tailnet in two tables, and the second, of routes that the system's
# kernel would have, keeps an exit node whose key has expired: it says that there is a way, and dials
# directly, as there is no kernel's route in userspace mode. With this it has the first table alone.
export TS_DEBUG_DNS_FORWARD_USE_ROUTES=false

# The shell stays, so that stopping can log out first; in the background, because a shell that
# waits for a foreground child does not hear signals.
tailscaled "$@" &
daemon=$!

# shellcheck disable=SC2317,SC2329  # called by the trap
stop() {
    # Not ignored (''): that would be inherited, and the time limit below could not end what it bounds.
    trap ':' TERM INT
    say "leaving the tailnet"
    # An ephemeral node that logs out is gone at once; one that just disappears lingers for minutes.
    timeout "$logout_timeout" tailscale --socket="$socket" logout ||
        say "warning: could not log out; the control server removes an ephemeral node later"
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" || true
    exit 0
}
trap stop TERM INT

code=0
wait "$daemon" || code=$?
say "tailscaled ended by itself, exit code $code"
# With 0, Nomad would take a batch job's sidecar for finished and let the worker go on without it.
[ "$code" -ne 0 ] || code=1
exit "$code"
