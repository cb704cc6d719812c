#!/bin/sh
# Runs one example on an existing cluster, waits for what comes of it, shows what its tasks say, and removes it.
#
#   ./scripts/runtime/smoke-cluster.sh [EXAMPLE [nomad job run arguments]]
#   ./scripts/runtime/smoke-cluster.sh egress-worker -var exit_wait=20
#
# EXAMPLE is a folder of examples/, egress-worker by default. Needs the nomad command, and by it the cluster
# (NOMAD_ADDR, NOMAD_TOKEN, NOMAD_NAMESPACE, ...). Settings, from the environment or .env (env.template):
#
#   TAILNET_AUTH_KEY_FILE  holds the auth key; it is in the job's Nomad Variable for the time of the run, and
#                          gone afterwards. Empty: the Variable is there already, and is left alone
#   TAILNET_LOGIN_SERVER   the control server; empty: Tailscale's
#   TAILNET_DOMAIN         the tailnet's domain, for examples that have to be told
#   TAILNET_SERVE_SCHEME   http where the control server gives no certificates (headscale); empty: https
#   EXIT_NODE              the exit node, for egress examples; empty: as vars/exit-a.hcl has it
#   EXPECTED_EGRESS        its public addresses, comma separated, and CHECK_URL, which answers with the caller's
#   CHECK_URL              address: without them the exit is taken at its word
#   SMOKE_SECONDS          how long the job may take; default 180
#
# Exit codes: 0 the job came to its end, or is healthy; 1 it is not, or not in time; 2 wrong use, or nothing was
# run: no cluster, no key, a job of that name there already.
#
# Even with 0, this shows what the job says of itself. Whether a packet went another way, whether strangers are
# kept out and who else reaches the port, only somebody outside can see: that is what ./scripts/runtime/smoke.sh
# does in a lab.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
if [ -f .env ]; then
    set -a
    # shellcheck disable=SC1091  # the person's own file
    . ./.env
    set +a
fi

refuse() {
    printf 'smoke-cluster: nothing was run: %s\n' "$*" >&2
    exit 2
}

say() {
    printf 'smoke-cluster: %s\n' "$*"
}

example=${1:-egress-worker}
[ $# -eq 0 ] || shift
folder=examples/$example
file=$folder/$example.nomad.hcl
path=nomad/jobs/notailcar/example/secrets
seconds=${SMOKE_SECONDS:-180}
NOMAD_CLI_SHOW_HINTS=0
export NOMAD_CLI_SHOW_HINTS

case $example in
*/* | .*) refuse "$example is no name of a folder in examples/" ;;
esac
[ -f "$file" ] || refuse "there is no $file; examples are: $(for f in examples/*/*.nomad.hcl; do basename "$f" .nomad.hcl; done | tr '\n' ' ')"
command -v nomad >/dev/null || refuse "the nomad command is not on PATH"
case $seconds in
'' | *[!0-9]*) refuse "SMOKE_SECONDS=$seconds is not a whole number" ;;
esac
told=$(nomad node status 2>&1) || refuse "no cluster answers: $(printf '%s' "$told" | tail -n 1)"

# What the job has a variable for; a person's own -var comes later, and wins.
give() {
    [ -z "$2" ] || ! grep -q "^variable \"$1\"" "$file" || printf -- '-var=%s=%s\n' "$1" "$2"
}
given=$(
    give login_server "${TAILNET_LOGIN_SERVER:-}"
    give tailnet_domain "${TAILNET_DOMAIN:-}"
    give serve_scheme "${TAILNET_SERVE_SCHEME:-}"
    give exit_node "${EXIT_NODE:-}"
    give expected_egress "${EXPECTED_EGRESS:-}"
    give check_url "${CHECK_URL:-}"
)
old_ifs=$IFS
IFS='
'
set -f
# shellcheck disable=SC2086  # one argument a line
set -- $given "$@"
set +f
IFS=$old_ifs
if [ -z "${EXIT_NODE:-}" ] && [ -f "$folder/vars/exit-a.hcl" ]; then
    set -- -var-file="$folder/vars/exit-a.hcl" "$@"
fi

# The job as it will be, for its name: nothing is registered by this.
read_job() {
    nomad job run -output "$@" "$file" | sed -n 's/^        "ID": "\(.*\)",$/\1/p' | head -n 1
}
job=$(read_job "$@") || true
[ -n "$job" ] || refuse "nomad cannot read $file with these settings (see above)"
if nomad job inspect "$job" >/dev/null 2>&1; then
    refuse "a job $job is there already, and not this script's to touch: stop it, or set NOMAD_NAMESPACE"
fi

put=
ran=
# shellcheck disable=SC2317,SC2329  # called by the trap
clean() {
    trap '' INT TERM
    if [ -n "$ran" ]; then
        say "removing job $job"
        children=$(nomad job status 2>/dev/null | awk -v job="$job/" 'index($1, job) == 1 { print $1 }')
        for name in "$job" $children; do
            nomad job stop -purge "$name" >/dev/null || say "warning: job $name could not be removed"
        done
    fi
    if [ -n "$put" ]; then
        nomad var purge "$path" >/dev/null || say "warning: the Variable $path could not be removed"
    fi
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if nomad var get -out=none "$path" >/dev/null 2>&1; then
    say "the Variable $path is there, and is used as it is"
elif [ -n "${TAILNET_AUTH_KEY_FILE:-}" ]; then
    grep -qs '[^[:space:]]' "$TAILNET_AUTH_KEY_FILE" || refuse "TAILNET_AUTH_KEY_FILE: no auth key in $TAILNET_AUTH_KEY_FILE"
    put=1
    # By a pipe: not in a command line, which every process of this machine may read.
    printf 'path = "%s"\nitems { TS_AUTHKEY = "%s" }\n' "$path" "$(tr -d '[:space:]' <"$TAILNET_AUTH_KEY_FILE")" |
        nomad var put -in=hcl -out=none - >/dev/null || refuse "the Variable $path cannot be written"
else
    refuse "the Variable $path cannot be read, and TAILNET_AUTH_KEY_FILE is not set"
fi

say "running $example as job $job, for up to $seconds s"
ran=1
nomad job run -detach "$@" "$file" >/dev/null || {
    say "FAILED: nomad does not take the job"
    exit 1
}
kind=$(nomad job inspect -t '{{.Type}}{{if .Periodic}} periodic{{end}}' "$job")
case $kind in
*periodic) nomad job periodic force -detach "$job" >/dev/null ;;
esac

# One line an allocation: id, status, and for services whether it is healthy.
allocations() {
    names=$job
    case $kind in
    *periodic) names=$(nomad job status | awk -v job="$job/" 'index($1, job) == 1 { print $1 }') ;;
    esac
    for name in $names; do
        nomad job allocs -t '{{range .}}{{.ID}} {{.ClientStatus}} {{with .DeploymentStatus}}{{with .Healthy}}{{.}}{{end}}{{end}}
{{end}}' "$name" 2>/dev/null | sed '/^ *$/d'
    done
}

# What an allocation came to: done, failed, or nothing yet.
judge() {
    case $kind in
    service*) awk '$2 == "failed" || $2 == "lost" || $2 == "complete" || $3 == "false" { print "failed"; exit }
                   $3 != "true" { open = 1 } END { if (NR && !open) print "done" }' ;;
    *) awk '$2 == "failed" || $2 == "lost" { print "failed"; exit }
            $2 != "complete" { open = 1 } END { if (NR && !open) print "done" }' ;;
    esac | head -n 1
}

waited=0
while :; do
    found=$(allocations)
    outcome=$(printf '%s\n' "$found" | sed '/^$/d' | judge)
    [ -z "$outcome" ] && [ "$waited" -lt "$seconds" ] || break
    sleep 1
    waited=$((waited + 1))
done

# The scripts' own lines, each with the name of its script: what was refused, passed, published.
for allocation in $(printf '%s\n' "$found" | cut -d ' ' -f 1); do
    # shellcheck disable=SC2016  # Go's variables, not the shell's
    for task in $(nomad alloc status -t '{{range $name, $state := .TaskStates}}{{$name}} {{end}}' "$allocation"); do
        for stream in -stdout -stderr; do
            nomad alloc logs "$stream" -task "$task" "$allocation" 2>/dev/null |
                grep -E '^(egress-guard|serve|sidecar|health): ' | tail -n 4 |
                sed "s/^/  $(printf '%.8s' "$allocation") /" || true
        done
    done
    # shellcheck disable=SC2016  # as above
    for task in $(nomad alloc status -t '{{range $name, $state := .TaskStates}}{{if $state.Failed}}{{$name}} {{end}}{{end}}' "$allocation"); do
        printf '  %.8s task %s failed; its last words:\n' "$allocation" "$task"
        for stream in -stdout -stderr; do
            nomad alloc logs "$stream" -task "$task" "$allocation" 2>/dev/null | tail -n 3 | sed 's/^/    /' || true
        done
    done
    # Why a task waits is in no log.
    # shellcheck disable=SC2016  # as above
    nomad alloc status -t '{{range $name, $state := .TaskStates}}{{range .Events}}{{if eq .Type "Template" "Driver Failure" "Failed Validation"}}{{$name}}: {{.DisplayMessage}}
{{end}}{{end}}{{end}}' "$allocation" 2>/dev/null | sed "/^\$/d; s/^/  $(printf '%.8s' "$allocation") /" | tail -n 4
done
if [ -z "$found" ]; then
    nomad job status "$job" | sed -n '/Placement Failure/,/^$/s/^/  /p'
fi

case $outcome in
done) say "PASSED by its own word after $waited s: $example $(case $kind in service*) echo 'is healthy' ;; *) echo 'is complete' ;; esac)" ;;
failed) say "FAILED after $waited s: an allocation of $example failed" ;;
*) say "FAILED: $example came to nothing in $seconds s" ;;
esac
say "not shown by this: whether any traffic went another way, and who else can reach it (smoke.sh, in a lab, does)"
[ "$outcome" = "done" ]
