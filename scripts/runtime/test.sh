#!/bin/sh
# Runs every check of the repository, from nothing: style, types, scripts, jobs, the harness's own tests
# (those with a lab too), and the scenarios. An hour on two cores, and a quarter more where images are made first.
#
#   ./scripts/runtime/test.sh            everything
#   ./scripts/runtime/test.sh --quick    without what needs a lab: some minutes
set -eu
cd "$(dirname "$0")/../.."
quick=
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
--quick) quick=1 ;;
'') ;;
*)
    echo "test.sh: unknown argument $1 (see --help)" >&2
    exit 2
    ;;
esac
set -- requirements-dev.lock
. scripts/runtime/environment.sh

step() {
    printf '\n== %s\n' "$1"
}
case $venv in /*) ;; *) venv=$(pwd)/$venv ;; esac
PATH=$venv/bin:$PATH
export PATH

step "style"
ruff check .
ruff format --check .

step "types"
mypy
# What runs in containers is no part of a package: each folder by itself, with the small server that some share.
mypy fixtures/echo/*.py
for folder in examples/*/; do
    set -- "$folder"*.py
    if [ -e "$1" ]; then MYPYPATH=examples/private-http-service mypy "$@"; fi
done

step "programs"
# Where there is no Go, golang's image makes them.
if command -v go >/dev/null; then
    for folder in fixtures/go/*/; do
        if [ -e "$folder"main.go ]; then (cd "$folder" && test -z "$(gofmt -l .)" && go vet .); fi
    done
fi

step "scripts and jobs"
./scripts/runtime/validate.sh

if [ -n "$quick" ]; then
    step "tests without a lab"
    pytest tests -m "not lab"
    exit 0
fi

step "images"
notailcar prepare

step "scenarios"
pytest scenarios -n auto

step "tests"
pytest tests
