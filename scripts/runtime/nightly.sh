#!/bin/sh
# Runs what is run every night, and lets the gate decide whether it is enough. For cron, a systemd timer, or a
# build server; by hand it is the same.
#
#   ./scripts/runtime/nightly.sh [scenarios] [matrix] [live]      default: scenarios, then matrix
#
#   scenarios   every example in the lab with every fault, then the gate    reports/
#   matrix      chosen scenarios over several versions                      reports/
#   live        the examples on an existing cluster (.env), then the gate   reports/live/
#
# While all is well nothing is printed, so that cron sends mail only when something is not: then the end of what the
# step printed. All of it is in reports/nightly/STEP.log. A terminal is shown everything as it comes.
#
# Settings, from the environment or .env: NIGHTLY_WORKERS (default auto) workers of pytest-xdist, NIGHTLY_GATE and
# NIGHTLY_LIVE_GATE policies of the gate (default gates/release.toml, gates/live.toml).
# Exit codes, the worst of the steps': 0 enough, 1 not enough, 2 wrong use, 3 the lab itself failed.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
for step; do
    case $step in
    scenarios | matrix | live) ;;
    *)
        echo "nightly.sh: there is no step $step (see --help)" >&2
        exit 2
        ;;
    esac
done
[ $# -gt 0 ] || set -- scenarios matrix
steps=$*

# Of a night that is not over when the next begins, the next says so and goes.
exec 7>.nightly.lock
if ! flock -n 7; then
    echo "nightly.sh: the one before is still at work" >&2
    exit 2
fi

set -- requirements.lock
. scripts/runtime/environment.sh
reports=${NOTAILCAR_REPORTS:-reports}
logs=$reports/nightly
mkdir -p "$logs"

# What the scenarios refuted is for the gate to judge; without a usable run there is nothing to judge.
then_gate() {
    policy=$1
    folder=$2
    code=0
    shift 2
    "$@" || code=$?
    [ "$code" -le 1 ] || return "$code"
    "$venv/bin/notailcar" gate --require "$policy" --reports "$folder"
}

run_step() {
    case $1 in
    scenarios)
        then_gate "${NIGHTLY_GATE:-gates/release.toml}" "$reports" \
            ./scripts/runtime/smoke.sh -n "${NIGHTLY_WORKERS:-auto}" --faults all
        ;;
    matrix) "$venv/bin/notailcar" matrix ;;
    live)
        then_gate "${NIGHTLY_LIVE_GATE:-gates/live.toml}" "$reports/live" \
            env NOTAILCAR_REPORTS="$reports/live" ./scripts/runtime/smoke.sh --site live
        ;;
    esac
}

worst=0
for step in $steps; do
    log=$logs/$step.log
    code=0
    # What a step leaves running, such as an engine, must not hold the lock.
    if [ -t 1 ]; then
        run_step "$step" 7>&- || code=$?
    else
        run_step "$step" 7>&- >"$log" 2>&1 || code=$?
    fi
    if [ "$code" -ne 0 ]; then
        echo "nightly.sh: $step: exit code $code$([ -t 1 ] || echo "; all of it is in $log")" >&2
        [ -t 1 ] || tail -n 60 "$log" >&2
    fi
    [ "$code" -le "$worst" ] || worst=$code
done
exit "$worst"
