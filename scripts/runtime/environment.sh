# shellcheck shell=sh
# Sourced from the repository's root with the name of a lock file: makes .venv exactly that, when it is not.
# Root on Debian or Ubuntu gets a missing python3-venv installed; anyone else is told what to do.

lock=$1
venv=${NOTAILCAR_VENV:-.venv}

fail() {
    printf '%s\n' "$1" >&2
    printf '  -> %s\n' "$2" >&2
    exit 2
}

find_python() {
    for python in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
}

# ensurepip is a package of its own on Debian and Ubuntu.
have_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o=Dpkg::Use-Pty=0 "$@" >&2
}

make_venv() {
    python=$(find_python)
    if { [ -z "$python" ] || ! have_venv; } && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing python3 and python3-venv" >&2
        apt update
        apt install --no-install-recommends -y python3 python3-venv
        python=$(find_python)
    fi
    [ -n "$python" ] || fail "no Python 3.11 or newer on PATH" "install one, or name it: PYTHON=/path/to/python3"
    have_venv || fail "$python has no venv module" "install python3-venv (Debian, Ubuntu), or name another: PYTHON=..."
    echo "setting up $venv from $lock" >&2
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
}

# One at a time: two first starts side by side would write into the same folder.
exec 9>"$venv.lock"
flock 9
stamp=$(cat "$venv/notailcar" 2>/dev/null || true)
# The larger environment serves for the smaller one, and stays large when it is renewed.
case $stamp in
requirements-dev.lock*) lock=requirements-dev.lock ;;
esac
wanted="$lock $(cat "$lock" pyproject.toml | sha256sum)"
if [ "$stamp" != "$wanted" ]; then
    make_venv
    printf '%s\n' "$wanted" >"$venv/notailcar"
fi
exec 9>&-

# Settings of this checkout (env.template).
if [ -f .env ]; then
    set -a
    # shellcheck disable=SC1091  # the person's own file
    . ./.env
    set +a
fi
