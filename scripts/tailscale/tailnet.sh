# shellcheck shell=sh
# What the scripts beside it share: how they speak, how they end, how they join the tailnet. Read in by
#   . "$(dirname "$0")/tailnet.sh"
# after `set -euf`; it takes a scratch folder, removes it at the end, and ends with 143 when it is told to stop.
#
# Settings, from the environment (each script names those that it uses):
#   TS_SOCKET          LocalAPI socket; default: tailscale/tailscaled.sock in the allocation's folder
#   TS_AUTHKEY_FILE    file that holds the auth key; default: ts-authkey in the task's secrets folder
#   LOGIN_SERVER       control server; default https://controlplane.tailscale.com
#   TAILNET_NAME       the node's name in the tailnet; default: the container's host name
#   TS_SOCKET_TIMEOUT, LOGIN_TIMEOUT   whole seconds; defaults 15, 30

socket=${TS_SOCKET:-${NOMAD_ALLOC_DIR:-/alloc}/tailscale/tailscaled.sock}
key_file=${TS_AUTHKEY_FILE:-${NOMAD_SECRETS_DIR:-/secrets}/ts-authkey}
login_server=${LOGIN_SERVER:-https://controlplane.tailscale.com}
tailnet_name=${TAILNET_NAME:-$(hostname)}
socket_timeout=${TS_SOCKET_TIMEOUT:-15}
login_timeout=${LOGIN_TIMEOUT:-30}

# The codes that every script ends with for these reasons; from 15 on, they are its own.
readonly EX_SETTING=10 EX_KEY=11 EX_SOCKET=12 EX_REFUSED=13 EX_LOGIN_TIMEOUT=14

program=${0##*/}
program=${program%.sh}

# The task's log, whatever a function's output is led to when a trap has something to say.
exec 3>&1
say() {
    printf '%s: %s\n' "$program" "$*" >&3
}

# refuse CODE REASON: the one way to fail, in one line.
refuse() {
    code=$1
    shift
    printf '%s: refused: %s\n' "$program" "$*" >&2
    exit "$code"
}

scratch=$(mktemp -d "${NOMAD_TASK_DIR:-${TMPDIR:-/tmp}}/$program.XXXXXX")
child=
# shellcheck disable=SC2317,SC2329  # called by the trap
stop() {
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
    exit 143
}
trap 'rm -rf "$scratch"' EXIT
trap stop TERM INT

# interruptible COMMAND...: a shell hears signals only while it waits for a background child. Give it a
# program, not a function: then the child is the program itself, and stopping leaves nothing behind.
interruptible() {
    "$@" >"$scratch/out" 2>"$scratch/err" 3>&- &
    child=$!
    code=0
    wait "$child" || code=$?
    child=
    return "$code"
}

# ts, ts_interruptible ARGUMENTS...: the tailscale command on this allocation's tailscaled.
ts() {
    tailscale --socket="$socket" "$@"
}
ts_interruptible() {
    interruptible tailscale --socket="$socket" "$@"
}

# The last line that a command said, fit for a log: printable, short, and without anything key-like.
last_words() {
    cat "$scratch/out" "$scratch/err" | tr '\r\t' '\n ' | sed '/^ *$/d' | tail -n 1 |
        tr -cd '\040-\176\n' | sed 's/[th]skey-[A-Za-z0-9_-]*/[key]/g' | cut -c 1-200
}

# Seconds since the machine started: a clock that nobody sets.
now() {
    read -r uptime _ </proc/uptime
    printf '%s' "${uptime%.*}"
}

pause() {
    sleep 0.1 2>/dev/null || sleep 1
}

# items LIST: a comma separated list as words.
items() {
    printf '%s' "$1" | tr ',' ' '
}

is_number() {
    case $1 in
    '' | *[!0-9]*) return 1 ;;
    esac
}

# check_numbers NAME=VALUE...
check_numbers() {
    for setting in "$@"; do
        is_number "${setting#*=}" || refuse "$EX_SETTING" "$setting is not a whole number"
    done
}

check_key() {
    grep -qs '[^[:space:]]' "$key_file" || refuse "$EX_KEY" "no auth key in $key_file"
}

wait_for_socket() {
    deadline=$(($(now) + socket_timeout))
    until [ -S "$socket" ] && ts_interruptible status --json --peers=false; do
        [ "$(now)" -lt "$deadline" ] ||
            refuse "$EX_SOCKET" "tailscaled does not answer on $socket after $socket_timeout s"
        pause
    done
}

backend_state() {
    ts status --json --peers=false 2>/dev/null | sed -n 's/^  "BackendState": "\([A-Za-z]*\)".*/\1/p'
}

join() {
    # From a file: a command line can be read by every process of the machine.
    set -- --auth-key="file:$key_file"
    # Restarted after a login that went well: the key may be spent, and the node needs none.
    [ "$(backend_state)" != Running ] || set --
    # --reset: a second run may find settings of the first, and `up` insists on hearing all of them.
    code=0
    ts_interruptible up --reset "$@" --login-server="$login_server" --hostname="$tailnet_name" \
        --accept-dns=false --accept-routes=false --timeout="${login_timeout}s" || code=$?
    [ "$code" -ne 0 ] || return 0
    words=$(last_words)
    case $words in
    *timeout*) refuse "$EX_LOGIN_TIMEOUT" "no login at $login_server within $login_timeout s: $words" ;;
    *) refuse "$EX_REFUSED" "login at $login_server failed: $words" ;;
    esac
}
