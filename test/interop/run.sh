#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# make interop: other people's Kafka clients, unmodified and in their default configurations, against a server.
#
#   run.sh [--kafka HOST:PORT | --peer kafka] [--only "kcat java"] [--jobs N] [--keep]
#
# Without an address a weir of this tree is started on a free port of 127.0.0.1 with an empty data folder, and stopped by
# its process id at the end. --peer kafka starts real Kafka instead: that is how the checks themselves are proven.
# WEIR_SHARDS=3 and the like in the environment reach the server: its options can be given there.
# Clients run side by side (--jobs, 3): most of their time is waiting for a killed group member to be given up.
# What a machine cannot run is reported NOT RUN with its reason. Exit status: 0 if nothing failed and something passed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
address= peer= jobs=3 keep=0
only="kcat librdkafka java kafka-python confluent-kafka-python franz-go kafkajs"

while [ $# -gt 0 ]; do
    case $1 in
    --kafka) address=$2; shift ;;
    --peer) peer=$2; shift ;;
    --only) only=$2; shift ;;
    --jobs) jobs=$2; shift ;;
    --keep) keep=1 ;;
    *) sed -n '5,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift
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
    [ -z "$peer" ] || bash "$here/kafka.sh" stop "$run/kafka"
    if [ $keep = 1 ] || [ "${failed:-1}" != 0 ]; then echo "logs: $run"; else rm -rf "$run"; fi
}
trap finish EXIT

start_weir() {
    local i
    [ -x "$top/weir" ] || { echo "no $top/weir: run make first" >&2; exit 1; }
    "$top/weir" serve --data "$run/data" --kafka 127.0.0.1:0 --addr-file "$run/addr" >"$run/weir.log" 2>&1 &
    server=$!
    for ((i = 0; i < 200; i++)); do
        [ -s "$run/addr" ] && break
        kill -0 $server 2>/dev/null || { tail -5 "$run/weir.log" >&2; echo 'weir ended while starting' >&2; exit 1; }
        sleep 0.05
    done
    address=$(sed -n 's/^kafka=//p' "$run/addr")
    [ -n "$address" ] || { echo 'weir wrote no kafka= line into its address file in 10 s' >&2; exit 1; }
}

start_peer() {
    [ "$peer" = kafka ] || { echo "no such peer: $peer" >&2; exit 2; }
    local port=$((20000 + RANDOM % 10000))
    bash "$here/kafka.sh" install || exit 1
    bash "$here/kafka.sh" start "$run/kafka" $port || exit 1
    address=127.0.0.1:$port
}

run_client() {
    local name=$1
    bash "$here/clients/$name/run.sh" "$address" "$run/work/$name" >"$run/$name.result" 2>"$run/$name.err"
    echo "  $name: $(cut -f1 "$run/$name.result" | sort | uniq -c | awk '{ printf "%s %s  ", $1, $2 }')"
}

report() {
    local name
    for name in $only; do
        awk -F'\t' -v c="$name" '
            $1 == "NOTRUN" { printf "%-24s %-58s NOT RUN: %s\n", c, "", $2; n++ }
            $1 == "PASS" { printf "%-24s %-58s pass\n", c, $2; n++ }
            $1 == "FAIL" { printf "%-24s %-58s FAIL: %s\n", c, $2, $3; n++ }
            $1 == "SKIP" { printf "%-24s %-58s skip: %s\n", c, $2, $3; n++ }
            END { if (!n) printf "%-24s %-58s FAIL: the script said nothing\n", c, "" }' "$run/$name.result"
    done
}

if [ -n "$peer" ]; then start_peer; elif [ -z "$address" ]; then start_weir; fi
echo "clients against $address"
export run here address
export -f run_client
printf '%s\n' $only | xargs -P "$jobs" -I{} bash -c 'run_client {}'
report >"$run/report"
[ -z "$server" ] || stop_weir >"$run/stop" # not in a subshell: the server is this shell's child
[ ! -f "$run/stop" ] || cat "$run/stop" >>"$run/report"
cat "$run/report"
passed=$(grep -c ' pass$' "$run/report")
failed=$(grep -c ' FAIL: ' "$run/report")
skipped=$(grep -cE ' (skip|NOT RUN): ' "$run/report")
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
