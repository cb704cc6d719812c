#!/bin/sh
# Checks what needs no lab and no cluster: every shell script by `sh -n` and shellcheck, every job, policy and
# variable file by `nomad fmt`, every job by `nomad job validate` with each of its var files, and, where there is
# Go to make it, every GitHub workflow by actionlint (the one that scripts/tools/actionlint pins).
#
#   ./scripts/runtime/validate.sh
#
# nomad is the one of fixtures/versions.toml, made on the first call. No agent is asked, so what a driver says of
# its `config` is not checked: that shows only when a job runs, which is what the scenarios are for.
# Exit codes: 0 all is well, 1 something is not, 2 wrong use, 3 nomad cannot be made here.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
-h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
'') ;;
*)
    echo "validate.sh: unknown argument $1 (see --help)" >&2
    exit 2
    ;;
esac
set -- requirements-dev.lock
. scripts/runtime/environment.sh
case $venv in /*) ;; *) venv=$(pwd)/$venv ;; esac
PATH=$venv/bin:$PATH

nomad=$(python -m harness.supply.programs nomad)
# Nobody listens there: jobs are judged by the program alone, whatever cluster the caller's shell is set up for.
NOMAD_ADDR=http://127.0.0.1:1
export NOMAD_ADDR
failed=0
checked=0

# check WHAT COMMAND...: silent while all is well.
check() {
    what=$1
    shift
    checked=$((checked + 1))
    if ! said=$("$@" 2>&1); then
        failed=$((failed + 1))
        printf 'failed: %s\n%s\n' "$what" "$said" >&2
    fi
}

for script in $(find .ci scripts fixtures bench docker tests -name '*.sh' 2>/dev/null | sort) .ci/run; do
    read -r first <"$script"
    case $first in
    *bash*) check "bash -n $script" bash -n "$script" ;;
    *) check "sh -n $script" sh -n "$script" ;;
    esac
    check "shellcheck $script" shellcheck --external-sources "$script"
done

# Each of the repository's own top folders, as `.` would go through an environment's packages too.
for folder in */; do
    check "nomad fmt -check -recursive $folder" "$nomad" fmt -check -recursive "$folder"
done

# validate JOB FOLDER: with each var file of a folder; where it has none, as it stands.
validate() {
    set -- "$1" "$2"/vars/*.hcl
    job=$1
    shift
    [ -e "$1" ] || set --
    [ $# -gt 0 ] || check "nomad job validate $job" "$nomad" job validate "$job"
    for file in "$@"; do
        check "nomad job validate -var-file=$file $job" "$nomad" job validate -var-file="$file" "$job"
    done
}
for job in examples/*/*.nomad.hcl; do
    validate "$job" "${job%/*}"
done
for job in modules/nomad/*.nomad.hcl; do
    # Pasted into the examples, so it takes their variables.
    case $job in
    */egress-*) validate "$job" examples/egress-worker ;;
    */sealed-*) validate "$job" examples/sealed-egress-worker ;;
    *) validate "$job" examples/private-http-service ;;
    esac
done

if command -v go >/dev/null; then
    root=$(pwd)
    check "actionlint .github/workflows" go -C scripts/tools/actionlint tool actionlint "$root"/.github/workflows/*.yml
fi

if [ "$failed" -gt 0 ]; then
    echo "validate.sh: $failed of $checked checks failed" >&2
    exit 1
fi
echo "validate.sh: all $checked checks passed"
