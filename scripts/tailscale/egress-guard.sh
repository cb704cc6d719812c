#!/bin/sh
# The egress guard: joins the tailnet, sets the exit node, proves it, and only then ends with 0. As a
# prestart task it holds the worker back: no exit verified, no worker.
#
#   TS_SOCKET            LocalAPI socket; default: tailscale/tailscaled.sock in the allocation's folder
#   TS_AUTHKEY_FILE      file that holds the auth key; default: ts-authkey in the task's secrets folder
#   LOGIN_SERVER         control server; default https://controlplane.tailscale.com
#   TAILNET_NAME         the node's name in the tailnet; default: the container's host name
#   EXIT_NODE            the exit node: name or tailnet address; required
#   FALLBACK_EXIT_NODES  others to try, in order, comma separated
#   CHECK_URL            answers with the caller's address as plain text; empty: no check from outside
#   EXPECTED_EGRESS      addresses that CHECK_URL may answer with, comma separated, IPv6 in its shortest
#                        form; empty: any address
#   HTTP_PROXY_ADDRESS   the worker's HTTP proxy, of the gate or the sidecar; default 127.0.0.1:$NOMAD_PORT_http
#   TS_SOCKET_TIMEOUT, LOGIN_TIMEOUT, EXIT_WAIT, CHECK_TIMEOUT   whole seconds; defaults 15, 30, 5, 5; the
#                        first is what the sidecar, and what the proxy, may take to listen
#   CHECK_ATTEMPTS       how often CHECK_URL is asked while it gives no answer at all; default 3
#
# Exit codes: 0 verified, 10 a setting is missing or wrong, 11 no auth key, 12 tailscaled does not
# answer, 13 login refused, 14 login timed out, 15 no exit node is usable, 16 the observed egress
# address is not an expected one, 17 CHECK_URL gave no answer, 18 its answer is no address,
# 143 told to stop.
#
# tailnet.sh, in the same folder, is a part of it.
set -euf

# shellcheck source-path=SCRIPTDIR source=tailnet.sh
. "$(dirname "$0")/tailnet.sh"

exit_node=${EXIT_NODE:-}
fallbacks=${FALLBACK_EXIT_NODES:-}
check_url=${CHECK_URL:-}
expected=${EXPECTED_EGRESS:-}
proxy=${HTTP_PROXY_ADDRESS:-127.0.0.1:${NOMAD_PORT_http:-}}
exit_wait=${EXIT_WAIT:-5}
check_timeout=${CHECK_TIMEOUT:-5}
check_attempts=${CHECK_ATTEMPTS:-3}

readonly EX_EXIT=15 EX_ADDRESS=16 EX_NO_ANSWER=17 EX_NOT_ADDRESS=18

is_ipv4() {
    case $1 in
    *[!0-9.]* | *[0-9][0-9][0-9][0-9]* | .* | *. | *..* | *.*.*.*.*) return 1 ;;
    *.*.*.*) ;;
    *) return 1 ;;
    esac
    for octet in $(printf '%s' "$1" | tr '.' ' '); do
        [ "$octet" -le 255 ] || return 1
    done
}

is_ipv6() {
    [ "${#1}" -le 45 ] || return 1
    case $1 in
    *[!0-9a-fA-F:.]* | *:::* | *::*::* | *[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]*) return 1 ;;
    *:*:*) ;;
    *) return 1 ;;
    esac
}

check_settings() {
    [ -n "$exit_node" ] || refuse "$EX_SETTING" "EXIT_NODE is not set"
    check_numbers "TS_SOCKET_TIMEOUT=$socket_timeout" "LOGIN_TIMEOUT=$login_timeout" "EXIT_WAIT=$exit_wait" \
        "CHECK_TIMEOUT=$check_timeout" "CHECK_ATTEMPTS=$check_attempts"
    # A list that the check could never look at would be a promise that nobody keeps.
    if [ -n "$expected" ] && [ -z "$check_url" ]; then
        refuse "$EX_SETTING" "EXPECTED_EGRESS is set, but no CHECK_URL to observe the egress address by"
    fi
    for address in $(items "$expected"); do
        is_ipv4 "$address" || is_ipv6 "$address" ||
            refuse "$EX_SETTING" "EXPECTED_EGRESS holds $address, which is not an address"
    done
    if [ -n "$check_url" ]; then
        is_number "${proxy##*:}" || refuse "$EX_SETTING" "no HTTP proxy to send the check through (NOMAD_PORT_http)"
        command -v curl >/dev/null || command -v wget >/dev/null ||
            refuse "$EX_SETTING" "CHECK_URL needs curl or wget, the image has neither"
        case $check_url in
        http://*) ;;
        https://*)
            # BusyBox closes its half of the connection after an https request, which tailscaled's proxy
            # takes for the end of it.
            command -v curl >/dev/null || ! wget --help 2>&1 | grep -q BusyBox ||
                refuse "$EX_SETTING" "CHECK_URL is https, but the image has only BusyBox's wget: give http, or an image with curl"
            ;;
        *) refuse "$EX_SETTING" "CHECK_URL is neither http nor https" ;;
        esac
    fi
}

# Whether the exit node that is set is in the netmap and online, as tailscaled sees it now. Read from
# the list of peers: the shorter ExitNodeStatus keeps to the last whole netmap, so that an exit node
# that went or came since then stands in it as it was.
exit_online() {
    ts status --json 2>/dev/null | awk '
        /^    "[^"]*": \{/ { chosen = online = 0 }
        /^      "ExitNode": true/ { chosen = 1 }
        /^      "Online": true/ { online = 1 }
        /^    }/ && chosen && online { found = 1 }
        END { exit !found }'
}

# use_exit NAME: sets the exit node; `why` says why not. An unknown name or a node that does not
# offer itself is refused by `set`, because the node is Running and has its netmap.
use_exit() {
    if ! ts_interruptible set --exit-node="$1"; then
        why=$(last_words)
        case $why in
        *"must be IP or"* | *"no node found in netmap"* | *"while Tailscale is starting up"*) why="not in the tailnet" ;;
        *"not advertising an exit node"*) why="not offered, or not approved, as an exit node" ;;
        esac
        return 1
    fi
    why="offline"
    exit_online
}

# observe: asks CHECK_URL through the worker's proxy; the answer is left in `answer`, a failure in `why`.
observe() {
    attempt=0
    proxy_deadline=$(($(now) + socket_timeout))
    while [ "$attempt" -lt "$check_attempts" ]; do
        attempt=$((attempt + 1))
        if fetch; then
            answer=$(head -c 256 "$scratch/out" | tr -d '\r' | tr '\n\t' '  ' | sed 's/^ *//; s/ *$//')
            return 0
        fi
        # Only the tool's own words: the body of an error page is nobody's reason.
        : >"$scratch/out"
        why=$(last_words)
        # The gate starts beside this, maybe later: where nobody listens, nobody has been asked.
        case $why in
        *"onnection refused"* | *"ailed to connect to ${proxy%:*}"*)
            if [ "$(now)" -lt "$proxy_deadline" ]; then
                attempt=$((attempt - 1))
                pause
            fi
            ;;
        esac
    done
    return 1
}

# No variable of the image's may lead the check around the proxy: then it would be seen from the
# node's own address, which is what is to be prevented.
fetch() {
    if command -v curl >/dev/null; then
        # CONNECT also for plain HTTP: otherwise tailscaled may reuse a connection of an earlier exit.
        interruptible curl --silent --show-error --fail --max-time "$check_timeout" --max-filesize 65536 \
            --noproxy '' --proxytunnel --proxy "http://$proxy" "$check_url"
    else
        # `timeout`, as wget's own option is not the same everywhere.
        interruptible env -u NO_PROXY -u no_proxy "http_proxy=http://$proxy" "https_proxy=http://$proxy" \
            timeout "$check_timeout" wget -q -O - "$check_url"
    fi
}

# judge NAME: holds the observed address against the expected ones; ends the guard where it is wrong.
# An address that is wrong is no outage: no other exit is tried.
judge() {
    if ! is_ipv4 "$answer" && ! is_ipv6 "$answer"; then
        shown=$(printf '%s' "$answer" | tr -cd '\040-\176' | cut -c 1-60)
        refuse "$EX_NOT_ADDRESS" "$check_url answered \"$shown\", which is not an address (exit node $1)"
    fi
    if [ -z "$(items "$expected" | tr -d ' ')" ]; then
        say "warning: no address is expected, any would have passed"
        return 0
    fi
    for address in $(items "$expected"); do
        [ "$answer" != "$address" ] || return 0
    done
    refuse "$EX_ADDRESS" "the observed egress address is $answer, expected $(items "$expected" | sed 's/  */ or /g') (exit node $1)"
}

check_settings
check_key
wait_for_socket
join
say "joined the tailnet as $tailnet_name"

# One wait for all: who is not in the netmap when it is over, is not there.
deadline=$(($(now) + exit_wait))
verdict=$EX_EXIT
reasons=
for name in "$exit_node" $(items "$fallbacks"); do
    until use_exit "$name"; do
        if [ "$(now)" -ge "$deadline" ]; then
            reasons="${reasons:+$reasons; }$name: $why"
            continue 2
        fi
        pause
    done
    # The exit is set and online from here on; before, a check would have gone out directly.
    if [ -n "$check_url" ]; then
        if ! observe; then
            verdict=$EX_NO_ANSWER
            reasons="${reasons:+$reasons; }$name: $check_url gave no answer: $why"
            continue
        fi
        judge "$name"
        # Had the exit gone meanwhile, the answer would say nothing about it.
        if ! exit_online; then
            reasons="${reasons:+$reasons; }$name: it went offline during the check"
            continue
        fi
        observed=", observed egress address $answer"
    else
        observed=", not observed from outside (no CHECK_URL)"
    fi
    [ "$name" = "$exit_node" ] || say "warning: fell back to exit node $name ($reasons)"
    say "passed: exit node $name$observed"
    exit 0
done
refuse "$verdict" "no usable exit node: $reasons"
