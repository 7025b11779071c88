#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The peer: RabbitMQ as Debian packages it, one node in a folder of its own that touches nothing of the machine's own
# RabbitMQ: data, log, plugins, Erlang's cookie and port mapper are the folder's, every socket listens on loopback, and
# what was started is stopped by its process id. For `run.sh --peer rabbitmq`, for the tables of verdicts, for benchmarks.
#
#   rabbitmq.sh install                  Debian's package, its service not started (as root)
#   rabbitmq.sh start RUN PORT [WORD..]  AMQP on 127.0.0.1:PORT; keeps or creates RUN/data; waits until it answers
#                                        words: management = HTTP on PORT+10000; ipv6 = AMQP on [::1]:PORT too
#   rabbitmq.sh stop RUN | status RUN    by the process id in RUN/pid
#   rabbitmq.sh wipe RUN                 forget all data, while stopped
#   rabbitmq.sh ctl RUN [ARG..]          rabbitmqctl for that node
#   rabbitmq.sh env RUN                  the node's environment, as lines for a shell
#
# Erlang's port mapper takes PORT+1 and its distribution PORT+2. User guest, password guest. After a start RUN/rabbitmqctl is
# a program that suites can be given. Environment: RABBITMQ_EXTRA (file with further lines of rabbitmq.conf),
# RABBITMQ_CPUS (a taskset list for the node).
set -euo pipefail

die() { echo "rabbitmq.sh: $*" >&2; exit 1; }

# What Debian puts on PATH changes to its own user and folders; the programs behind it do not.
programs() { compgen -G '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin' | sort -V | tail -1; }

need_installed() {
    sbin=$(programs)
    [ -n "$sbin" ] || die 'RabbitMQ is missing: rabbitmq.sh install'
}

verb_install() {
    if [ -n "$(programs)" ]; then echo "RabbitMQ is there: $(programs)"; return; fi
    [ "$(id -u)" = 0 ] || die 'to install Debian packages takes root: apt-get install rabbitmq-server'
    apt-get -q update
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends rabbitmq-server
    [ -n "$(programs)" ] || die 'no RabbitMQ after the install'
}

alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

configure() { # RUN PORT [WORD..]
    local run=$1 port=$2 word plugins=
    shift 2
    mkdir -p "$run/home" "$run/data" "$run/logs"
    echo "listeners.tcp.1 = 127.0.0.1:$port" >"$run/rabbitmq.conf"
    for word; do
        case $word in
        management)
            plugins=rabbitmq_management
            printf 'management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %s\n' $((port + 10000)) >>"$run/rabbitmq.conf"
            ;;
        ipv6) echo "listeners.tcp.2 = ::1:$port" >>"$run/rabbitmq.conf" ;;
        *) die "unknown word '$word' (management, ipv6)" ;;
        esac
    done
    if [ -n "${RABBITMQ_EXTRA:-}" ]; then cat "$RABBITMQ_EXTRA" >>"$run/rabbitmq.conf"; fi
    echo "[$plugins]." >"$run/plugins"
    : >"$run/none.conf"
    cat >"$run/env" <<END
export HOME='$run/home' RABBITMQ_NODENAME='weir-peer-$port@localhost' RABBITMQ_PID_FILE='$run/beam.pid'
export RABBITMQ_BASE='$run' RABBITMQ_MNESIA_BASE='$run/data' RABBITMQ_LOG_BASE='$run/logs'
export RABBITMQ_CONFIG_FILE='$run/rabbitmq.conf' RABBITMQ_CONF_ENV_FILE='$run/none.conf' RABBITMQ_ENABLED_PLUGINS_FILE='$run/plugins'
export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((port + 1)) RABBITMQ_DIST_PORT=$((port + 2))
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
END
    printf '#!/bin/sh\n. "%s/env"\nexec "%s/rabbitmqctl" "$@"\n' "$run" "$sbin" >"$run/rabbitmqctl"
    chmod +x "$run/rabbitmqctl"
}

verb_start() {
    [ $# -ge 2 ] || die 'start RUN PORT [management] [ipv6]'
    mkdir -p "$1"
    local run port i t0 pin=()
    run=$(cd "$1" && pwd)
    port=$2
    shift 2
    need_installed
    alive "$run/pid" && die "already running, process $(cat "$run/pid")"
    for i in 0 1 2; do answers $((port + i)) && die "port $((port + i)) is taken"; done
    configure "$run" "$port" "$@"
    # shellcheck disable=SC1091
    . "$run/env"
    if [ -n "${RABBITMQ_CPUS:-}" ]; then pin=(taskset -c "$RABBITMQ_CPUS"); fi
    t0=$(date +%s%N)
    # In the foreground, so that it is a child with a known id; Erlang would start one of its own accord and leave it.
    nohup epmd -address 127.0.0.1 -port $((port + 1)) >"$run/epmd.log" 2>&1 </dev/null &
    echo $! >"$run/epmd.pid"
    # The variable makes the start script become the virtual machine instead of watching over it.
    RUNNING_UNDER_SYSTEMD=1 nohup "${pin[@]}" "$sbin/rabbitmq-server" >"$run/log" 2>&1 </dev/null &
    echo $! >"$run/pid"
    for ((i = 0; i < 1200; i++)); do
        alive "$run/pid" || { tail -20 "$run/log" >&2; die "RabbitMQ ended while starting, see $run/log"; }
        if grep -q 'completed with' "$run/log" && answers "$port"; then break; fi
        sleep 0.1
    done
    answers "$port" || die "no answer on port $port after 120 s, see $run/log"
    echo "$port" >"$run/port"
    echo "RabbitMQ answers on 127.0.0.1:$port after $((($(date +%s%N) - t0) / 1000000)) ms, process $(cat "$run/pid")"
}

end_process() { # FILE SECONDS
    local pid i
    alive "$1" || { rm -f "$1"; return 0; }
    pid=$(cat "$1")
    kill "$pid"
    for ((i = 0; i < $2 * 10; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null && echo "process $pid did not stop in $2 s: killed"
    rm -f "$1"
}

verb_stop() {
    alive "$1/pid" || echo 'not running'
    end_process "$1/pid" 40
    end_process "$1/epmd.pid" 5
}

verb_status() {
    alive "$1/pid" || { echo 'not running'; return 1; }
    local pid; pid=$(cat "$1/pid")
    echo "process $pid, port $(cat "$1/port"), $(awk '/^VmRSS/ { printf "resident %d MB", $2 / 1024 }' "/proc/$pid/status")"
}

verb_wipe() {
    alive "$1/pid" && die 'still running: stop it first'
    rm -rf "${1:?}/data" "$1/logs" "$1/log"
}

verb_ctl() {
    local run=$1
    shift
    [ -x "$run/rabbitmqctl" ] || die "$run has no node: start it first"
    exec "$run/rabbitmqctl" "$@"
}

verb_env() { cat "$1/env"; }

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
install | start) "verb_$verb" "$@" ;;
stop | status | wipe | ctl | env)
    [ $# -ge 1 ] && [ -d "$1" ] || die "$verb needs the folder of a node"
    run=$(cd "$1" && pwd)
    shift
    "verb_$verb" "$run" "$@"
    ;;
*) sed -n '8,19s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
