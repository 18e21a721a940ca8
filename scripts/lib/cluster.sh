# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A cluster for playing on this machine: one ZooKeeper and some nodes, all below run/.
# Sourced after common.sh and process.sh.
#
#   run/cluster.yaml     the cluster config; nodes, the CLI and people read it
#   run/zookeeper.port   where our ZooKeeper listens
#   run/zookeeper/       its config and data
#   run/flags/ID         flags of a node that is not in cluster.yaml
#   run/pids/ run/logs/  see process.sh

config=$run/cluster.yaml
bin=${RINGHOP_BUILD:-$root/build}
readonly config bin
# Where the ports begin: node n1 has this plus 1, 101 and 201. For a second cluster on one machine.
readonly port_base=${RINGHOP_PORT_BASE:-7100}
readonly zookeeper_port_wanted=${RINGHOP_ZOOKEEPER_PORT:-2181}
readonly nodes_default=3
readonly ready_s=20 # a node has this long to become ready

# ringhop ARGUMENTS...: the command line tool of this build on this cluster.
ringhop() { RINGHOP_CONFIG=$config "$(program ringhop)" "$@"; }

# program NAME: the path of a built program.
program() {
    local path
    for path in "$bin/$1" "$bin/node/$1" "$bin/cli/$1"; do
        [[ -x $path && -f $path ]] && printf '%s\n' "$path" && return
    done
    die "$1 is not built yet: run scripts/quickstart, or: meson setup build && ninja -C build"
}

# cluster_build: builds the two programs; quiet unless something goes wrong.
cluster_build() {
    local log
    log=$(mktemp)
    if { [[ -f $bin/build.ninja ]] || meson setup "$bin" "$root"; } >"$log" 2>&1 &&
        meson compile -C "$bin" ringhopd ringhop >>"$log" 2>&1; then
        rm -f "$log"
        return
    fi
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "the build failed; its last lines are above"
}

# --- addresses -----------------------------------------------------------------------------------

# ports_choose NUMBER: prints "client peer admin" for node nNUMBER: 71NN 72NN 73NN, or three that
# are some steps of 10 higher when one of them is taken.
ports_choose() {
    local base
    for ((base = port_base + $1; base < port_base + 100; base += 10)); do
        if ! port_taken "$base" && ! port_taken $((base + 100)) && ! port_taken $((base + 200)) &&
            ! ports_promised "$base"; then
            printf '%d %d %d\n' "$base" $((base + 100)) $((base + 200))
            return
        fi
    done
    die "no free ports for node n$1 from $port_base to $((port_base + 299))"
}

# ports_promised PORT: whether a node of ours, running or not, has this client port.
ports_promised() { grep -qsE "127\.0\.0\.1:$1\b" "$config" "$config.new" "$run"/flags/*; }

# node_address ID client|peer|admin: prints host:port of a node, from the config or its flags.
node_address() {
    local name=$2
    [[ $name != client ]] || name=listen
    if [[ -f $run/flags/$1 ]]; then
        sed -n "s/^--$name //p" "$run/flags/$1"
    else
        sed -nE "s/.*\{id: $1, .*\b$name: \"([^\"]*)\".*/\1/p" "$config"
    fi
}

node_number() { [[ $1 =~ ^n([0-9]{1,2})$ ]] && printf '%d\n' "$((10#${BASH_REMATCH[1]}))"; }

# nodes_listed: ids in cluster.yaml. nodes_added: ids that run by flags.
nodes_listed() { sed -nE 's/^ *- \{id: ([A-Za-z0-9_-]+),.*/\1/p' "$config" 2>/dev/null; }
nodes_added() {
    local file
    for file in "$run"/flags/*; do
        [[ -f $file ]] && printf '%s\n' "${file##*/}"
    done
    return 0
}
nodes_known() {
    nodes_listed
    nodes_added
}
# Here-strings: with pipefail, a grep -q that leaves early would fail the pipe.
node_known() { grep -qxF -- "$1" <<<"$(nodes_known)"; }
nodes_running() {
    local id
    for id in $(nodes_known); do
        process_running "$id" && printf '%s\n' "$id"
    done
    return 0
}

# --- ZooKeeper -----------------------------------------------------------------------------------

zookeeper_port() { cat "$run/zookeeper.port" 2>/dev/null; }

zookeeper_answers() {
    local answer
    exec 9<>"/dev/tcp/127.0.0.1/$(zookeeper_port)" || return 1
    printf 'ruok' >&9
    read -r -t 1 -N 4 answer <&9 || true
    exec 9>&- 9<&-
    [[ $answer == imok ]]
}

# zookeeper_start: starts our ZooKeeper unless it runs. Its data is kept when nodes of ours run
# (then they wait for it), and fresh otherwise.
zookeeper_start() {
    local port folder=$run/zookeeper
    process_running zookeeper && return
    port=$(zookeeper_port) || die "run/zookeeper.port is missing: scripts/cluster down, then up"
    [[ -n $(nodes_running) ]] || rm -rf "$folder"
    mkdir -p "$folder/data"
    cat >"$folder/zoo.cfg" <<END
# tickTime bounds the session timeouts that may be asked for: 2 to 120 ticks.
tickTime=500
maxSessionTimeout=60000
dataDir=$folder/data
clientPort=$port
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr,stat,mntr
END
    cat >"$folder/log4j.properties" <<'END'
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
END
    local java=/usr/share/java
    process_start zookeeper java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -cp "$java/zookeeper.jar:$java/slf4j-log4j12.jar:$java/log4j-1.2.jar:$folder" \
        org.apache.zookeeper.server.quorum.QuorumPeerMain "$folder/zoo.cfg"
    wait_until 20 zookeeper_up_or_dead
    zookeeper_answers 2>/dev/null || {
        process_log_tail zookeeper
        die "ZooKeeper does not come up on port $port"
    }
}

zookeeper_up_or_dead() { process_gone zookeeper || zookeeper_answers; }

# --- config and nodes ----------------------------------------------------------------------------

# config_write COUNT: a fresh cluster.yaml with nodes n1..nCOUNT on ports that are free now.
config_write() {
    local number ports zones=(a b c) port=$zookeeper_port_wanted
    rm -rf "$run/flags" "$config"
    mkdir -p "$run/flags"
    while port_taken "$port"; do ((++port)); done
    ((port == zookeeper_port_wanted)) ||
        say "port $zookeeper_port_wanted is taken: ZooKeeper gets $port"
    printf '%d\n' "$port" >"$run/zookeeper.port"
    cat >"$config.new" <<END
# Written by scripts/cluster. docs/operations.md explains every field.
cluster: demo
zookeeper: {servers: "127.0.0.1:$port", session_timeout: 4s}
ring: {vnodes: 512, replicas: 2, seed: 0}
nodes:
END
    for ((number = 1; number <= $1; number++)); do
        read -ra ports < <(ports_choose "$number")
        ((${#ports[@]} == 3)) || die "no free ports"
        ((ports[0] == port_base + number)) ||
            say "a port of n$number is taken: it gets ${ports[*]}"
        printf '  - {id: n%d, listen: "127.0.0.1:%d", peer: "127.0.0.1:%d", admin: "127.0.0.1:%d", zone: %s}\n' \
            "$number" "${ports[@]}" "${zones[(number - 1) % 3]}" >>"$config.new"
    done
    mv "$config.new" "$config"
}

# config_usable COUNT: whether cluster.yaml lists exactly COUNT nodes and its ports are free.
config_usable() {
    local port
    [[ -f $config && -f $run/zookeeper.port ]] || return 1
    (($(nodes_listed | wc -l) == $1)) || return 1
    for port in $(zookeeper_port) $(grep -v '^#' "$config" | grep -oE '127\.0\.0\.1:[0-9]+' | cut -d: -f2); do
        port_taken "$port" && return 1
    done
    return 0
}

# node_start ID: starts it; does not wait.
node_start() {
    local flags=()
    [[ ! -f $run/flags/$1 ]] || mapfile -t flags < <(tr ' ' '\n' <"$run/flags/$1")
    process_start "$1" "$(program ringhopd)" --config "$config" --node "$1" "${flags[@]}"
}

# node_await ID: waits until it is ready, or ends the script with the end of its log.
node_await() {
    wait_until "$ready_s" node_ready_or_dead "$1" || true
    node_ready "$1" || {
        process_log_tail "$1"
        process_running "$1" || die "node $1 ended at once"
        die "node $1 is not ready after $ready_s s"
    }
}

node_ready() { curl -fsS -m 2 -o /dev/null "http://$(node_address "$1" admin)/readyz" 2>/dev/null; }
node_ready_or_dead() { process_gone "$1" || node_ready "$1"; }

# cluster_settled: whether all nodes hold the same view.
cluster_settled() { ringhop check >/dev/null 2>&1; }

# cluster_up [COUNT]: brings up ZooKeeper and the nodes that should run and do not. With COUNT, at
# least n1..nCOUNT run afterwards.
cluster_up() {
    local count=${1-} number id ids=()
    mkdir -p "$run"
    if [[ -z $(process_names) ]]; then
        count=${count:-$nodes_default}
        config_usable "$count" || config_write "$count"
        rm -rf "$run/zookeeper" "$run/logs" "$run/pids" "$run/flags"
    fi
    zookeeper_start
    for id in $(nodes_listed); do
        process_running "$id" || { node_start "$id" && ids+=("$id"); }
    done
    for id in "${ids[@]}"; do node_await "$id"; done
    for ((number = 1; number <= ${count:-0}; number++)); do
        process_running "n$number" || cluster_add "n$number"
    done
    wait_until "$ready_s" cluster_settled || { ringhop check >&2 || true; die "the nodes do not agree"; }
}

# cluster_add ID [FLAG...]: starts one more node, with flags when cluster.yaml does not list it.
cluster_add() {
    local id=$1 number ports state
    shift
    if ! node_known "$id"; then
        number=$(node_number "$id") || number=0
        read -ra ports < <(ports_choose "$number")
        ((${#ports[@]} == 3)) || die "no free ports"
        mkdir -p "$run/flags"
        printf -- '--listen 127.0.0.1:%d\n--peer 127.0.0.1:%d\n--admin 127.0.0.1:%d\n' \
            "${ports[@]}" >"$run/flags/$id"
        ((!$#)) || printf -- '%s %s\n' "$@" >>"$run/flags/$id"
    elif (($#)); then
        die "node $id is known already: change its weight with: ringhop weight $id W"
    fi
    node_start "$id"
    node_await "$id"
    # A drained node stays drained over a restart, until somebody asks it to join.
    state=$(ringhop nodes --json | jq -r --arg id "$id" '.nodes[] | select(.node == $id).state')
    if [[ $state == outside ]]; then
        ringhop join "$id" >/dev/null || die "node $id runs, but did not join the ring"
    fi
}

# cluster_down: stops the nodes in order, then ZooKeeper. cluster.yaml and the logs stay.
cluster_down() {
    local id
    for id in $(process_names); do
        [[ $id == zookeeper ]] || kill -TERM "$(process_pid "$id")" 2>/dev/null || true
    done
    for id in $(process_names); do
        [[ $id == zookeeper ]] || process_stop "$id"
    done
    # It keeps nothing that is needed later, and takes two seconds to stop politely.
    process_stop zookeeper KILL
    rm -rf "$run/zookeeper" "$run/pids" "$run/flags"
}
