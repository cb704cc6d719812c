#!/bin/sh
# Serves a backend to the tailnet: joins it, publishes with Tailscale Serve what was asked and nothing
# else, and stays to see that it remains so. Told to stop, it withdraws Serve first, so that nobody is
# led to a backend that is about to end.
#
#   SERVE              what is published, separated by commas or white space; each
#                      SCHEME[:PORT][/PATH]=BACKEND[/BACKEND_PATH], the scheme http (port 80), https (443) or
#                      tcp (PORT required), BACKEND a port on 127.0.0.1. Serve takes PATH away and puts
#                      BACKEND_PATH in its place: "https/=21000, https/api=21001/api, tcp:5432=21002"
#   SERVE_CONFIG       instead: a file for `tailscale serve set-config`, whose Tailscale Services are then
#                      advertised; its backends are 127.0.0.1:PORT too, or unix:/PATH, a socket in the
#                      allocation's folder, which is the only kind that HTTPS is put in front of there
#   TS_SOCKET          LocalAPI socket; default: tailscale/tailscaled.sock in the allocation's folder
#   TS_AUTHKEY_FILE    file that holds the auth key; default: ts-authkey in the task's secrets folder
#   LOGIN_SERVER       control server; default https://controlplane.tailscale.com
#   TAILNET_NAME       the node's name in the tailnet, by which it is found; default: the container's host name
#   TS_SOCKET_TIMEOUT, LOGIN_TIMEOUT   whole seconds; defaults 15, 30
#   BACKEND_TIMEOUT    seconds that the backends have to start listening; default 30
#   PUBLISH_TIMEOUT    seconds that one order to tailscaled may take; default 10
#   WATCH_INTERVAL     seconds from one look at what is published to the next; default 5
#
# A backend may listen on loopback alone: anywhere else, it would have a second door. The port that is
# served differs from the backend's: userspace tailscaled leads equal ports to 127.0.0.1 without being
# asked, so a Serve that is broken, or gone, would still look as if it worked.
#
# Exit codes: 0 told to stop, and withdrawn, 10 a setting is missing or wrong, 11 no auth key,
# 12 tailscaled does not answer, 13 login refused, 14 login timed out, 20 a backend does not listen in
# time, 21 a backend listens beyond loopback, 22 the node has another name than was asked for,
# 23 tailscaled refused to publish, 24 what is published is not what was asked for, 25 Funnel is on,
# 26 the node is no longer in the tailnet, 27 told to stop, but Serve could not be withdrawn.
# With any but 0 and 27, nothing is left published, as far as tailscaled still takes orders.
#
# tailnet.sh, in the same folder, is a part of it.
set -euf

# shellcheck source-path=SCRIPTDIR source=tailnet.sh
. "$(dirname "$0")/tailnet.sh"

serve=${SERVE:-}
serve_config=${SERVE_CONFIG:-}
backend_timeout=${BACKEND_TIMEOUT:-30}
publish_timeout=${PUBLISH_TIMEOUT:-10}
watch_interval=${WATCH_INTERVAL:-5}

readonly EX_BACKEND=20 EX_BEYOND=21 EX_NAME=22 EX_PUBLISH=23 EX_DIFFERS=24 EX_FUNNEL=25 EX_GONE=26 EX_WITHDRAW=27

# What is listened to, on 127.0.0.1, as words; and the Services of SERVE_CONFIG.
backends=
sockets=
services=
# Set as soon as something may be published.
published=

# order ARGUMENTS...: tailscale, within a time limit: `serve` may wait for a person to agree to something.
order() {
    interruptible timeout "$publish_timeout" tailscale --socket="$socket" "$@"
}

withdraw() {
    published=
    failed=0
    for service in $services; do
        # Who is on their way still gets an answer; nobody else is sent here.
        order serve drain "$service" || failed=1
    done
    order serve reset && [ "$failed" -eq 0 ]
}

# shellcheck disable=SC2317,SC2329  # called by the trap
stop() {
    trap ':' TERM INT
    if [ -n "$child" ]; then
        kill -TERM "$child" 2>/dev/null || true
        # An order that is under way could publish after the withdrawal. (The shell would tell of its end.)
        wait "$child" 2>/dev/null || true
        child=
    fi
    if [ -n "$published" ]; then
        withdraw || refuse "$EX_WITHDRAW" "told to stop, but Serve could not be withdrawn: $(last_words)"
        say "withdrawn"
    fi
    exit 0
}

# shellcheck disable=SC2317,SC2329  # called by the trap
leave() {
    # A refusal leaves nothing published either; its reason is already said.
    [ -z "$published" ] || withdraw || true
    rm -rf "$scratch"
}
trap leave EXIT

is_port() {
    is_number "$1" && [ "${#1}" -le 5 ] && [ "$1" -ge 1 ] && [ "$1" -le 65535 ]
}

# is_path TEXT: fit for a URL and for a comparison, with nothing in it that would have to be escaped.
is_path() {
    case $1 in
    '') ;;
    /*) case $1 in *[!A-Za-z0-9._~/-]* | *//*) return 1 ;; esac ;;
    *) return 1 ;;
    esac
}

# parse ENTRY: leaves `scheme`, `port`, `path`, `backend`, `backend_path`; false where it is none.
parse() {
    case $1 in
    *=*) ;;
    *) return 1 ;;
    esac
    front=${1%%=*}
    backend=${1#*=}
    backend_path=
    case $backend in
    */*) backend_path=/${backend#*/} ;;
    esac
    backend=${backend%%/*}
    [ "$backend_path" != / ] || backend_path=
    path=
    case $front in
    */*) path=/${front#*/} ;;
    esac
    scheme=${front%%/*}
    port=
    case $scheme in
    *:*) port=${scheme#*:} ;;
    http) port=80 ;;
    https) port=443 ;;
    esac
    scheme=${scheme%%:*}
    is_port "$port" && is_port "$backend" && is_path "$path" && is_path "$backend_path" || return 1
    case $scheme in
    http | https) path=${path:-/} ;;
    tcp) [ -z "$path$backend_path" ] ;;
    *) return 1 ;;
    esac
}

# take BACKEND PORT: notes a backend, and refuses one that is served under its own port.
take() {
    [ "$1" -ne "$2" ] ||
        refuse "$EX_SETTING" "port $1 is served, and the backend's own: tailscaled leads to it even without Serve"
    case " $backends " in
    *" $1 "*) ;;
    *) backends="${backends:+$backends }$1" ;;
    esac
}

check_settings() {
    check_numbers "TS_SOCKET_TIMEOUT=$socket_timeout" "LOGIN_TIMEOUT=$login_timeout" \
        "BACKEND_TIMEOUT=$backend_timeout" "PUBLISH_TIMEOUT=$publish_timeout" "WATCH_INTERVAL=$watch_interval"
    case $tailnet_name in
    '' | -* | *- | *[!a-z0-9-]*)
        refuse "$EX_SETTING" "TAILNET_NAME is $tailnet_name; a name by which it is found has a-z, 0-9 and -"
        ;;
    esac
    if [ -n "$serve_config" ]; then
        [ -z "$serve" ] || refuse "$EX_SETTING" "SERVE and SERVE_CONFIG are both set"
        check_config
    else
        check_entries
    fi
}

check_entries() {
    [ -n "$(items "$serve" | tr -d '[:space:]')" ] || refuse "$EX_SETTING" "SERVE is not set: nothing is to be published"
    seen=' '
    for entry in $(items "$serve"); do
        parse "$entry" ||
            refuse "$EX_SETTING" "SERVE holds $entry, which is not SCHEME[:PORT][/PATH]=BACKEND[/BACKEND_PATH]"
        take "$backend" "$port"
        case $seen in
        *" $port$path "*) refuse "$EX_SETTING" "SERVE publishes $scheme:$port$path twice" ;;
        *" $port=$scheme "*) ;;
        *" $port="*) refuse "$EX_SETTING" "SERVE publishes port $port by two schemes" ;;
        esac
        seen="$seen$port$path $port=$scheme "
    done
    # No backend's port may be served for another one either, for the same reason.
    for backend in $backends; do
        case $seen in
        *" $backend="*) take "$backend" "$backend" ;;
        esac
    done
}

# endpoints FILE: what a Services configuration publishes: a line "svc:NAME" for each Service, and one
# "svc:NAME" "tcp:PORT":"TARGET" for each of its ports.
endpoints() {
    tr -d '[:space:]' <"$1" | grep -oE '"svc:[^"]*"|"tcp:[^"]*":"[^"]*"' |
        awk '/^"svc:/ { service = $0; print; next } { print service, $0 }'
}

check_config() {
    [ -r "$serve_config" ] || refuse "$EX_SETTING" "SERVE_CONFIG: there is no file $serve_config"
    endpoints "$serve_config" >"$scratch/wanted"
    while read -r line; do
        case $line in
        *'"tcp:'*)
            port=${line#*\"tcp:}
            port=${port%%\"*}
            target=${line#*\":\"}
            target=${target%\"}
            case $target in
            *://unix:/*)
                is_port "$port" || refuse "$EX_SETTING" "$serve_config serves tcp:$port, which is not one port"
                sockets="${sockets:+$sockets }${target#*://unix:}"
                continue
                ;;
            esac
            backend=${target#*://127.0.0.1:}
            backend=${backend%%/*}
            { is_port "$port" && is_port "$backend"; } ||
                refuse "$EX_SETTING" "$serve_config leads tcp:$port to $target, which is not one port to 127.0.0.1:PORT"
            take "$backend" "$port"
            ;;
        *)
            service=${line#\"}
            services="${services:+$services }${service%\"}"
            ;;
        esac
    done <"$scratch/wanted"
    [ -n "$services" ] && [ -n "$backends$sockets" ] || refuse "$EX_SETTING" "$serve_config publishes no Service"
}

# listeners PORT: the addresses, as the kernel writes them, that listen on a TCP port, one a line.
listeners() {
    awk -v port="$(printf '%04X' "$1")" '
        $4 == "0A" { split($2, local, ":"); if (local[2] == port) print local[1] }
    ' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# in_words ADDRESS: for a person, as far as it is one of version 4.
in_words() {
    case $1 in
    ????????)
        rest=${1#??}
        first=${1%"$rest"}
        printf '%d.%d.%d.%d' "0x${1#??????}" "0x$(printf '%s' "$1" | cut -c 5-6)" "0x$(printf '%s' "$1" | cut -c 3-4)" "0x$first"
        ;;
    00000000000000000000000000000000) printf '[::]' ;;
    *) printf 'an IPv6 address' ;;
    esac
}

# check_loopback PORT: whether tailscaled would find somebody on 127.0.0.1; refuses who listens elsewhere too.
check_loopback() {
    found=1
    for address in $(listeners "$1"); do
        case $address in
        0100007F | 0000000000000000FFFF00000100007F) found=0 ;;
        ??????7F | 00000000000000000000000001000000 | 0000000000000000FFFF0000??????7F) ;;
        *) refuse "$EX_BEYOND" "the backend on port $1 listens on $(in_words "$address"), beyond loopback" ;;
        esac
    done
    return "$found"
}

wait_for_backends() {
    deadline=$(($(now) + backend_timeout))
    for backend in $backends; do
        until check_loopback "$backend"; do
            [ "$(now)" -lt "$deadline" ] ||
                refuse "$EX_BACKEND" "no backend listens on 127.0.0.1:$backend after $backend_timeout s"
            interruptible sleep 0.1 || interruptible sleep 1
        done
    done
    for path in $sockets; do
        until [ -S "$path" ]; do
            [ "$(now)" -lt "$deadline" ] || refuse "$EX_BACKEND" "there is no socket $path after $backend_timeout s"
            interruptible sleep 0.1 || interruptible sleep 1
        done
    done
}

# check_node: the node is in the tailnet, under the name by which people look for it; leaves `dns_name`.
check_node() {
    order status --json --peers=false || refuse "$EX_GONE" "tailscaled does not answer any more: $(last_words)"
    state=$(sed -n 's/^  "BackendState": "\([A-Za-z]*\)".*/\1/p' "$scratch/out")
    dns_name=$(sed -n 's/^    "DNSName": "\([^"]*\)".*/\1/p' "$scratch/out")
    dns_name=${dns_name%.}
    [ "$state" = Running ] || refuse "$EX_GONE" "the node is not in the tailnet any more: it is in state ${state:-unknown}"
    [ "${dns_name%%.*}" = "$tailnet_name" ] ||
        refuse "$EX_NAME" "the node is called ${dns_name%%.*}, not $tailnet_name: another node has, or had, that name"
}

# flat FILE: indented JSON of objects, one line a value, keys and value joined by `|`.
flat() {
    awk '
        {
            match($0, /^ */)
            depth = RLENGTH / 2
            line = substr($0, RLENGTH + 1)
            if (line !~ /^"/) next
            key = substr(line, 2)
            sub(/".*/, "", key)
            keys[depth] = key
            value = substr(line, length(key) + 5)
            if (value == "{") next
            sub(/,$/, "", value)
            gsub(/^"|"$/, "", value)
            for (i = 1; i <= depth; i++) printf "%s|", keys[i]
            print value
        }' "$1" | sort -u
}

publish() {
    published=1
    # Whatever an earlier run of this task left.
    order serve reset || refuse "$EX_PUBLISH" "tailscaled does not let go of what was published: $(last_words)"
    if [ -n "$serve_config" ]; then
        order serve set-config --all "$serve_config" ||
            refuse "$EX_PUBLISH" "tailscaled refuses $serve_config: $(last_words)"
        for service in $services; do
            order serve advertise "$service" || refuse "$EX_PUBLISH" "tailscaled refuses to advertise $service: $(last_words)"
        done
        return 0
    fi
    for entry in $(items "$serve"); do
        parse "$entry"
        case $scheme in
        tcp)
            set -- --tcp="$port" "tcp://127.0.0.1:$backend"
            printf 'TCP|%s|TCPForward|127.0.0.1:%s\n' "$port" "$backend"
            ;;
        *)
            set -- --"$scheme"="$port" --set-path="$path" "http://127.0.0.1:$backend$backend_path"
            printf 'TCP|%s|%s|true\n' "$port" "$(printf '%s' "$scheme" | tr '[:lower:]' '[:upper:]')"
            printf 'Web|%s:%s|Handlers|%s|Proxy|http://127.0.0.1:%s\n' "$dns_name" "$port" "$path" "$backend$backend_path"
            ;;
        esac >>"$scratch/asked"
        order serve --bg --yes "$@" || refuse "$EX_PUBLISH" "tailscaled refuses to serve $entry: $(last_words)"
    done
    sort -u "$scratch/asked" >"$scratch/wanted"
}

# first_beyond FILE OTHER: the first line of a file that is not in the other. (Not every BusyBox has comm.)
first_beyond() {
    awk -v other="$2" '
        BEGIN { while ((getline line <other) > 0) known[line] = 1 }
        !($0 in known) { print; exit }' "$1"
}

# check_published: what tailscaled has is what was asked for, to the last line.
check_published() {
    order serve status --json || refuse "$EX_GONE" "tailscaled does not answer any more: $(last_words)"
    flat "$scratch/out" >"$scratch/there"
    # First, as it is the one difference that lets the whole internet in.
    ! grep -qE '(^|\|)AllowFunnel\|.*\|true$' "$scratch/there" ||
        refuse "$EX_FUNNEL" "Funnel is on: what is served would be open to the internet"
    if [ -n "$serve_config" ]; then
        ! grep -v '^Services|' "$scratch/there" >"$scratch/more" ||
            refuse "$EX_DIFFERS" "published, but not asked for: $(head -n 1 "$scratch/more")"
        order serve get-config --all || refuse "$EX_GONE" "tailscaled does not answer any more: $(last_words)"
        endpoints "$scratch/out" >"$scratch/there"
    fi
    line=$(first_beyond "$scratch/wanted" "$scratch/there")
    [ -z "$line" ] || refuse "$EX_DIFFERS" "asked for, but not published: $line"
    line=$(first_beyond "$scratch/there" "$scratch/wanted")
    [ -z "$line" ] || refuse "$EX_DIFFERS" "published, but not asked for: $line"
}

check_settings
check_key
wait_for_socket
# Before the node is in the tailnet: what has two doors gets no third.
wait_for_backends
join
check_node
say "joined the tailnet as $dns_name"
publish
check_published
say "published: ${services:-$(items "$serve" | tr -s '[:space:]' ' ')} (backends${backends:+ on 127.0.0.1}:${backends:+ $backends}${sockets:+ $sockets})"

while :; do
    interruptible sleep "$watch_interval" || true
    check_node
    check_published
    # One that is away is for its own restart and for the health check; one that came back with a wider
    # door is not.
    for backend in $backends; do
        check_loopback "$backend" || true
    done
done
