#!/bin/sh
# Runs the scenarios, from nothing: sets up what is missing (Python packages, an engine, images), brings up
# the lab, proves the examples' claims, writes reports/, leaves nothing running.
#
#   ./scripts/runtime/smoke.sh [pytest arguments]        e.g. -k egress, --examples PATH, -n auto
#
# Exit codes: 0 all claims proven, 1 a claim refuted, 2 wrong use, 3 the lab itself failed.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
set -- requirements.lock "$@"
. scripts/runtime/environment.sh
shift

# What is made for the first time takes minutes, and every worker of xdist would wait for it: it is made before.
for argument; do
    case $argument in
    -n* | --numprocesses*)
        "$venv/bin/notailcar" prepare
        break
        ;;
    esac
done

code=0
# Two plugins that no scenario uses, and that take half a second to load.
"$venv/bin/pytest" -p no:anyio -p no:hypothesispytest scenarios "$@" || code=$?
# pytest's own: 4 is a wrong argument, 5 no test chosen.
case $code in
4 | 5) code=2 ;;
esac
exit "$code"
