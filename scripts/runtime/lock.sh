#!/bin/sh
# Writes requirements.lock (to run) and requirements-dev.lock (to develop) anew from pyproject.toml: exact
# versions with their hashes. Needs uv on PATH (pip install uv).
set -eu
cd "$(dirname "$0")/../.."
compile() {
    out=$1
    shift
    uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate \
        --python-version 3.11 --universal --extra build "$@" --output-file "$out" pyproject.toml
}
compile requirements.lock
compile requirements-dev.lock --extra dev
