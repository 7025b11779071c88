#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# make interop: other people's clients, unmodified and in their default configurations, and their test suites, against a
# server.
#
#   run.sh [--kafka HOST:PORT] [--amqp HOST:PORT] [--peer kafka | --peer rabbitmq] [--jobs N] [--keep] [NAME..]
#
# Without an address a weir of this tree is started on free ports of 127.0.0.1 (AMQP on 5672 when that is free: some
# suites know no other) with an empty data folder, and stopped by its process id at the end. --peer starts real Kafka or
# real RabbitMQ instead: that is how the checks themselves are proven. NAMEs select; without, all that the doors at hand
# allow is run. WEIR_SHARDS=3 and the like in the environment reach the server: its options can be given there.
# Clients run side by side (--jobs, 3): most of their time is waiting for a killed group member to be given up. Suites
# and Celery run after them, one at a time, since some measure time.
# What a machine cannot run is reported NOT RUN with its reason. Exit status: 0 if nothing failed and something passed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
kafka_clients="kcat librdkafka java kafka-python confluent-kafka-python franz-go kafkajs"
amqp_clients="amqp-tools pika py-amqp kombu aio-pika amqplib amqp091-go amqp-java"
amqp_suites="suite-amqplib suite-kombu suite-py-amqp suite-amqp091-go celery-4.4 celery-5.2 celery-5.3 celery-5.4 celery-5.5 celery-5.6 celery-5.7 celery-kills celery-flower suite-celery"
kafka= amqp= http= peer= jobs=3 keep=0 names=

while [ $# -gt 0 ]; do
    case $1 in
    --kafka) kafka=$2; shift ;;
    --amqp) amqp=$2; shift ;;
    --peer) peer=$2; shift ;;
    --jobs) jobs=$2; shift ;;
    --keep) keep=1 ;;
    -*) sed -n '6,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) names="$names $1" ;;
    esac
    shift
done
for name in $names; do
    case " $kafka_clients $amqp_clients $amqp_suites " in *" $name "*) ;; *) echo "no such name: $name (of $kafka_clients $amqp_clients $amqp_suites)" >&2; exit 2 ;; esac
done

run=$(mktemp -d "${TMPDIR:-/tmp}/weir-interop.XXXXXX")
server=

# Asked to, weir ends by itself and with 0: a server that crashes on its way out has passed nothing.
stop_weir() {
    local pid=$server rc
    server=
    kill "$pid" 2>/dev/null
    for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    rc=$?
    if [ $rc = 0 ]; then
        printf '%-24s %-58s pass\n' weir 'ends when asked to'
    else
        printf '%-24s %-58s FAIL: status %s, %s\n' weir 'ends when asked to' $rc "$(tail -1 "$run/weir.log")"
    fi
}

finish() {
    [ -z "$server" ] || stop_weir
    [ -z "$peer" ] || bash "$here/$peer.sh" stop "$run/$peer"
    if [ $keep = 1 ] || [ "${failed:-1}" != 0 ]; then echo "logs: $run"; else rm -rf "$run"; fi
}
trap finish EXIT

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_weir() {
    local i port=5672 # alone it means ::1 as well, which a suite wants
    [ -x "$top/weir" ] || { echo "no $top/weir: run make first" >&2; exit 1; }
    ! taken $port || port=127.0.0.1:0
    "$top/weir" serve --data "$run/data" --kafka 127.0.0.1:0 --amqp $port --http 127.0.0.1:0 --addr-file "$run/addr" >"$run/weir.log" 2>&1 &
    server=$!
    for ((i = 0; i < 200; i++)); do
        [ -s "$run/addr" ] && break
        kill -0 $server 2>/dev/null || { tail -5 "$run/weir.log" >&2; echo 'weir ended while starting' >&2; exit 1; }
        sleep 0.05
    done
    kafka=$(sed -n 's/^kafka=//p' "$run/addr")
    amqp=$(sed -n 's/^amqp=127/127/p' "$run/addr")
    http=$(sed -n 's/^http=//p' "$run/addr")
    [ -n "$kafka" ] && [ -n "$amqp" ] || { echo 'weir wrote no kafka= and amqp= into its address file in 10 s' >&2; exit 1; }
}

start_peer() {
    local port=$((20000 + RANDOM % 10000))
    case $peer in
    kafka) kafka=127.0.0.1:$port ;;
    rabbitmq)
        taken 5672 || port=5672
        amqp=127.0.0.1:$port
        ;;
    *) echo "no such peer: $peer" >&2; peer=; exit 2 ;;
    esac
    bash "$here/$peer.sh" install || exit 1
    # shellcheck disable=SC2086
    bash "$here/$peer.sh" start "$run/$peer" $port || exit 1
}

run_one() {
    local name=$1 address=$kafka
    case " $amqp_clients $amqp_suites " in *" $name "*) address=$amqp ;; esac
    local script=$here/clients/$name/run.sh
    case $name in
    suite-*) script=$here/$name.sh ;;
    celery-*) script=$here/celery/run.sh ;;
    esac
    INTEROP_NAME=$name INTEROP_HTTP=$http bash "$script" "$address" "$run/work/$name" >"$run/$name.result" 2>"$run/$name.err"
    echo "  $name: $(cut -f1 "$run/$name.result" | sort | uniq -c | awk '{ printf "%s %s  ", $1, $2 }')"
}

report() {
    local name
    for name; do
        awk -F'\t' -v c="$name" '
            $1 == "NOTRUN" { printf "%-24s %-58s NOT RUN: %s\n", c, "", $2; n++ }
            $1 == "PASS" { printf "%-24s %-58s pass\n", c, $2; n++ }
            $1 == "FAIL" { printf "%-24s %-58s FAIL: %s\n", c, $2, $3; n++ }
            $1 == "SKIP" { printf "%-24s %-58s skip: %s\n", c, $2, $3; n++ }
            END { if (!n) printf "%-24s %-58s FAIL: the script said nothing\n", c, "" }' "$run/$name.result"
    done
}

of() { # those of the words that were asked for
    local word
    for word; do case " ${names:-$word} " in *" $word "*) echo "$word" ;; esac done
}

if [ -n "$peer" ]; then start_peer; elif [ -z "$kafka$amqp" ]; then start_weir; fi
[ -n "$kafka" ] || kafka_clients=
[ -n "$amqp" ] || { amqp_clients=; amqp_suites=; }
echo "clients against ${kafka:+kafka $kafka }${amqp:+amqp $amqp}"
export run here kafka amqp http amqp_clients amqp_suites
export -f run_one
# shellcheck disable=SC2086
clients=$(of $kafka_clients $amqp_clients) suites=$(of $amqp_suites)
[ -z "$clients" ] || printf '%s\n' "$clients" | xargs -P "$jobs" -I{} bash -c 'run_one {}'
for name in $suites; do run_one "$name"; done
# shellcheck disable=SC2086
report $clients $suites >"$run/report"
[ -z "$server" ] || stop_weir >"$run/stop" # not in a subshell: the server is this shell's child
[ ! -f "$run/stop" ] || cat "$run/stop" >>"$run/report"
cat "$run/report"
passed=$(grep -c ' pass$' "$run/report")
failed=$(grep -c ' FAIL: ' "$run/report")
skipped=$(grep -cE ' (skip|NOT RUN): ' "$run/report")
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
