#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# make bench: weir beside Apache Kafka and RabbitMQ, in one run, on one machine, with one load generator per protocol.
#
#   run.sh [--quick] [--rounds N] [--seconds S] [--servers "weir kafka flush rabbitmq"] [SCENARIO... | log | queue]
#
# Servers: weir (always durable), kafka (as shipped: it never syncs), flush (the same broker, topics made with
# flush.messages=1: one fsync per append), rabbitmq. Rounds alternate between them (A B C A B C), each server is warmed
# first, medians are quoted with their spread, and ratios are formed within a round. Server and load generator have a core
# each, so that neither can take the other's time and CPU per GB means the same for all: SERVER_CPUS (the last core),
# LOAD_CPUS (the others). What can't run here is NOT RUN with its reason. A benchmark is no test: the status is 0.
#
# Scenarios, log: limits produce1 produce100 one e2e1000 e2e5000 e2e20000 consume restart startup recover idle conns parts
#           queue (amqp.sh): generator queue1 queue100 queue_one transient take8 take200 sessions backlog backlog10m celery beside
# Results: $OUT/results.tsv (scenario, server, round, figure, value) and bench/RESULTS.md (--quick: $OUT/RESULTS.md).
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/.." && pwd)
kafka=$top/test/interop/kafka.sh
export KAFKA_LIBS=${KAFKA_LIBS:-$top/test/interop/.cache/kafka/libs}
OUT=${OUT:-$here/.cache/run}
cores=$(nproc)
SERVER_CPUS=${SERVER_CPUS:-$((cores - 1))}
LOAD_CPUS=${LOAD_CPUS:-0$([ "$cores" -gt 2 ] && echo "-$((cores - 2))")}
quick=0 rounds=5 seconds=8 servers="weir kafka flush rabbitmq" scenarios=
log_scenarios='limits produce1 produce100 one e2e1000 e2e5000 e2e20000 consume restart startup recover idle conns parts'
queue_scenarios='generator queue1 queue100 queue_one transient take8 take200 sessions backlog backlog10m celery beside'

while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 rounds=1 seconds=2 ;;
    --rounds) rounds=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --servers) servers=$2; shift ;;
    -*) sed -n '5,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    log) scenarios="$scenarios $log_scenarios" ;;
    queue) scenarios="$scenarios $queue_scenarios" ;;
    *) scenarios="$scenarios $1" ;;
    esac
    shift
done
scenarios=${scenarios:-$log_scenarios $queue_scenarios}

mkdir -p "$OUT"
results=$OUT/results.tsv
bin=$OUT/bin
weir_port=${WEIR_PORT:-$((21000 + RANDOM % 4000))}
kafka_port=${KAFKA_PORT:-$((26000 + RANDOM % 4000))}
weir_pid=

. "$here/amqp.sh"

say() { echo "bench: $*" >&2; }
note() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" >>"$results"; }
not_run() { note "$1" "$2" 0 not_run "$3"; say "$1 $2: NOT RUN: $3"; }

build() {
    mkdir -p "$bin"
    pkg-config --exists rdkafka librabbitmq || { echo 'bench: apt-get install librdkafka-dev librabbitmq-dev' >&2; exit 1; }
    local flags="-std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra" cc=${CC:-cc}
    # shellcheck disable=SC2046,SC2086
    {
        $cc $flags -o "$bin/gen" "$here/gen.c" "$here/figures.c" "$here/proc.c" $(pkg-config --cflags --libs rdkafka) -pthread &&
            $cc $flags -o "$bin/amqp_gen" "$here"/amqp_*.c "$here/figures.c" "$here/proc.c" $(pkg-config --cflags --libs librabbitmq) -pthread &&
            $cc $flags -o "$bin/startup" "$here/startup.c" "$here/raw.c" "$here/proc.c" &&
            $cc $flags -o "$bin/conns" "$here/conns.c" "$here/raw.c" "$here/proc.c" &&
            $cc $flags -o "$bin/limits" "$here/limits.c" -pthread
    } || exit 1
}

gen() { taskset -c "$LOAD_CPUS" "$bin/gen" "$@"; }
log_gen() { # SERVER MODE WORDS...
    local server=$1 mode=$2
    shift 2
    gen "$mode" --server "$(address "$server")" --pid "$(pid_of "$server")" "$@"
}

# ---- the servers ------------------------------------------------------------------------------------------------------

process() { if [ "$1" = flush ]; then echo kafka; else echo "$1"; fi; }
port() { [ "$1" = weir ] && echo "$weir_port" || echo "$kafka_port"; }
address() { echo "127.0.0.1:$(port "$1")"; }
pid_of() { if [ "$1" = weir ]; then echo "$weir_pid"; else cat "$OUT/$(process "$1")/pid" 2>/dev/null; fi; }
folder() { echo "$OUT/$(process "$1")"; }

command_of() { # SERVER FOLDER: the words that become the server, one a line
    if [ "$1" = weir ]; then
        printf '%s\n' taskset -c "$SERVER_CPUS" "$top/weir" serve --data "$2/data" --kafka "$(address weir)" --amqp "$(amqp_address weir)"
    else
        printf '%s\n' taskset -c "$SERVER_CPUS" bash "$kafka" exec "$2"
    fi
}

knock() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start() { # SERVER
    local words i
    case $(process "$1") in
    kafka) KAFKA_CPUS=$SERVER_CPUS bash "$kafka" start "$OUT/kafka" "$kafka_port" >&2; return ;;
    rabbitmq) RABBITMQ_CPUS=$SERVER_CPUS bash "$rabbitmq" start "$OUT/rabbitmq" "$rabbitmq_port" >&2; return ;;
    esac
    mkdir -p "$OUT/weir"
    mapfile -t words < <(command_of weir "$OUT/weir")
    "${words[@]}" >>"$OUT/weir/log" 2>&1 &
    weir_pid=$!
    disown $weir_pid
    for ((i = 0; i < 600; i++)); do
        knock "$weir_port" && return
        kill -0 $weir_pid 2>/dev/null || { weir_pid=; return 1; }
        sleep 0.05
    done
    return 1
}

stop() { # SERVER [SIGNAL]
    local pid signal=${2:-TERM}
    if [ "$1" = rabbitmq ]; then bash "$rabbitmq" stop "$OUT/rabbitmq" >&2; return; fi
    pid=$(pid_of "$1")
    [ -n "$pid" ] || return 0
    kill -"$signal" "$pid" 2>/dev/null
    for _ in $(seq 600); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null
    if [ "$1" = weir ]; then weir_pid=; else rm -f "$OUT/kafka/pid"; fi
}

wipe() { rm -rf "$(folder "$1")/data" "$(folder "$1")/log"; }

finish() {
    [ -z "$weir_pid" ] || stop weir
    [ ! -s "$OUT/kafka/pid" ] || stop kafka
    [ ! -s "$OUT/rabbitmq/pid" ] || stop rabbitmq
    rm -rf "$OUT/weir/data" "$OUT/kafka/data" "$OUT/rabbitmq/data" "$OUT/empty"
}

topic() { # SERVER NAME PARTITIONS
    gen create --server "$(address "$1")" --topic "$2" --partitions "$3" \
        $([ "$1" = flush ] && echo --topic-config flush.messages=1)
}
drop() { gen delete --server "$(address "$1")" --topic "$2"; }

# Syncs so far, as weir counts them itself; a peer that does not say stays without.
syncs() { [ "$1" = weir ] && "$top/weir" status --kafka "$(address weir)" 2>/dev/null | awk '$1 ~ /^(journal[._])?syncs(_total)?$/ { print $2; exit }'; }

# ---- one measurement ----------------------------------------------------------------------------------------------

measure() { # SCENARIO SERVER ROUND COMMAND...: its figures into results; round 0 is the warming one and is not kept
    local scenario=$1 server=$2 round=$3 before after t0 t1 name value
    shift 3
    before=$(syncs "${server%+*}")
    t0=$(date +%s%N)
    if ! "$@" >"$OUT/figures" 2>"$OUT/gen.err"; then
        not_run "$scenario" "$server" "$(tail -1 "$OUT/gen.err")"
        return 1
    fi
    t1=$(date +%s%N)
    after=$(syncs "${server%+*}")
    if [ -n "$before" ] && [ -n "$after" ]; then
        awk -v a="$before" -v b="$after" -v ns=$((t1 - t0)) 'BEGIN { printf "syncs_per_s\t%.0f\n", (b - a) / (ns / 1e9) }' >>"$OUT/figures"
    fi
    [ "$round" = 0 ] || while IFS=$'\t' read -r name value; do note "$scenario" "$server" "$round" "$name" "$value"; done <"$OUT/figures"
}

rounds_of() { # SCENARIO PARTITIONS GEN-WORDS...: a fresh topic for each run, since a full one is another workload
    local scenario=$1 parts=$2 round server name
    shift 2
    for ((round = 0; round <= rounds; round++)); do
        for server in $log_servers; do
            name=$scenario-$server-$round
            topic "$server" "$name" "$parts" 2>"$OUT/gen.err" || { not_run "$scenario" "$server" "$(tail -1 "$OUT/gen.err")"; continue; }
            measure "$scenario" "$server" "$round" log_gen "$server" "$@" --topic "$name"
            drop "$server" "$name" 2>/dev/null
            sleep 1
        done
        say "$scenario: round $round of $rounds (0 warms)"
    done
}

fill() { # SERVER TOPIC BYTES
    topic "$1" "$2" "${4:-1}" && gen produce --server "$(address "$1")" --topic "$2" --bytes "$3" >/dev/null
}

# ---- scenarios -----------------------------------------------------------------------------------------------------

gb() { if [ $quick = 1 ]; then echo 3e8; else echo "$1"; fi; }
count() { if [ $quick = 1 ]; then awk -v n="$1" 'BEGIN { printf "%d", n / 10 }'; else awk -v n="$1" 'BEGIN { printf "%d", n }'; fi; }

scenario_limits() {
    "$bin/limits" "$OUT" $([ $quick = 1 ] && echo quick) | while IFS=$'\t' read -r name value; do note limits machine 1 "$name" "$value"; done
}
scenario_produce1() { rounds_of produce1 1 produce --seconds "$seconds"; }
scenario_produce100() { rounds_of produce100 100 produce --seconds "$seconds"; }
scenario_one() { rounds_of one 1 one --seconds "$seconds"; }
scenario_e2e1000() { rounds_of e2e1000 1 e2e --rate 1000 --seconds "$seconds" --size 100; }
scenario_e2e5000() { rounds_of e2e5000 1 e2e --rate 5000 --seconds "$seconds" --size 100; }
scenario_e2e20000() { rounds_of e2e20000 1 e2e --rate 20000 --seconds "$seconds" --size 100; }

scenario_consume() { # what was just written, from the tail's memory or the page cache
    local server round
    for server in $log_servers; do
        [ "$server" = flush ] && continue # reading does not differ
        fill "$server" consume "$(gb 2e9)" || not_run consume "$server" 'could not fill the topic'
    done
    for ((round = 0; round <= rounds; round++)); do
        for server in $log_servers; do
            [ "$server" = flush ] || measure consume "$server" "$round" log_gen "$server" consume --topic consume --crc off
        done
    done
}

scenario_restart() { # the same after a restart, with the client checking every CRC
    local server round
    for server in $log_servers; do
        [ "$server" = flush ] && continue
        fill "$server" restart "$(gb 2e9)" || { not_run restart "$server" 'could not fill the topic'; continue; }
    done
    for ((round = 0; round <= rounds; round++)); do
        for server in $log_servers; do
            [ "$server" = flush ] && continue
            stop "$server"
            start "$server" || { not_run restart "$server" 'did not start again'; continue; }
            measure restart "$server" "$round" log_gen "$server" consume --topic restart --crc on
        done
    done
}

startup() { # SCENARIO SERVER ROUND FOLDER TOPIC PARTITIONS THEN
    local words
    mapfile -t words < <(command_of "$2" "$4")
    taskset -c "$LOAD_CPUS" "$bin/startup" "$(port "$2")" "$5" "$6" "$7" "${words[@]}" >"$OUT/figures" 2>"$OUT/startup.log" ||
        { not_run "$1" "$2" "no acknowledged record: $(tail -1 "$OUT/startup.log")"; return 1; }
    while IFS=$'\t' read -r name value; do note "$1" "$2" "$3" "$name" "$value"; done < <(grep -v '^server_pid' "$OUT/figures")
}

empty_folder() { # SERVER: Kafka's is formatted before the clock starts, which is in its favour
    rm -rf "$OUT/empty"
    mkdir -p "$OUT/empty"
    [ "$1" = weir ] || bash "$kafka" prepare "$OUT/empty" "$kafka_port"
}

scenario_startup() { # fork to first acknowledged record, topic creation included, empty folder
    local server i n
    for server in $log_servers; do
        [ "$server" = flush ] && continue
        stop "$server"
        n=20
        if [ "$server" = kafka ]; then n=3; fi
        if [ $quick = 1 ] && [ $n -gt 3 ]; then n=5; fi
        for ((i = 1; i <= n; i++)); do
            empty_folder "$server"
            startup startup "$server" "$i" "$OUT/empty" first 1 kill || break
        done
        start "$server"
    done
}

scenario_recover() { # the same after kill -9 with 1 GB of data
    local server i
    for server in $log_servers; do
        [ "$server" = flush ] && continue
        fill "$server" recover "$(gb 1e9)" || { not_run recover "$server" 'could not fill the topic'; continue; }
        for ((i = 1; i <= (rounds < 3 ? rounds : 3); i++)); do
            stop "$server" KILL
            startup recover "$server" "$i" "$(folder "$server")" recover 0 kill || break
            start "$server"
        done
    done
}

scenario_idle() { # resident memory of a server that was just started on an empty folder
    local server
    for server in $log_servers; do
        [ "$server" = flush ] && continue
        stop "$server"
        wipe "$server"
        start "$server" || { not_run idle "$server" 'did not start'; continue; }
        sleep 5
        note idle "$server" 1 rss_mb "$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$(pid_of "$server")/status")"
    done
}

scenario_conns() {
    local server count=5000
    for server in $log_servers; do
        [ "$server" = flush ] && continue
        "$bin/conns" "$(port "$server")" "$(pid_of "$server")" $count >"$OUT/figures" ||
            not_run conns "$server" "only $(awk '/^connections/ { print $2 }' "$OUT/figures") of $count connections (ulimit -n: $(ulimit -Hn))"
        while IFS=$'\t' read -r name value; do note conns "$server" 1 "$name" "$value"; done <"$OUT/figures"
    done
}

scenario_parts() { # 10,000 partitions: an orderly restart, and the memory then
    local server i per=1000
    if [ $quick = 1 ]; then per=100; fi
    for server in $log_servers; do
        [ "$server" = flush ] && continue
        for ((i = 0; i < 10; i++)); do
            topic "$server" "many$i" $per 2>"$OUT/gen.err" || { not_run parts "$server" "$(tail -1 "$OUT/gen.err")"; continue 2; }
        done
        note parts "$server" 1 partitions $((per * 10))
        note parts "$server" 1 rss_created_mb "$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$(pid_of "$server")/status")"
        stop "$server"
        startup parts "$server" 1 "$(folder "$server")" many0 0 term
        wipe "$server"
        start "$server"
    done
}

# ---- the run -------------------------------------------------------------------------------------------------------

any_of() { # LIST: is one of its words a scenario of this run?
    local word
    for word in $scenarios; do case " $1 " in *" $word "*) return 0 ;; esac; done
    return 1
}

ready() { # SERVER: is it here, and wanted by a scenario of this run?
    case $1 in
    weir) [ -x "$top/weir" ] || { not_run all weir "no $top/weir"; return 1; } ;;
    kafka | flush)
        any_of "${log_scenarios#limits }" || return 1
        bash "$kafka" install >&2 || { not_run all "$1" 'Kafka could not be installed'; return 1; }
        ;;
    rabbitmq)
        any_of "$queue_scenarios" || return 1
        bash "$rabbitmq" install >&2 || { not_run all rabbitmq 'RabbitMQ could not be installed'; return 1; }
        ;;
    esac
}

started=
up() { # SERVER: two names may be one process
    case " $started " in *" $(process "$1") "*) return 0 ;; esac
    rm -rf "${OUT:?}/$(process "$1")"
    start "$1" || { not_run all "$1" "did not start: $(tail -1 "$(folder "$1")/log")"; return 1; }
    started="$started $(process "$1")"
}

trap finish EXIT
build
: >"$results"
ulimit -n "$(ulimit -Hn)" 2>/dev/null
log_servers= queue_servers=
for server in $servers; do
    if ! ready "$server" || ! up "$server"; then continue; fi
    case $server in weir | kafka | flush) log_servers="$log_servers $server" ;; esac
    case $server in weir | rabbitmq) queue_servers="$queue_servers $server" ;; esac
done
for scenario in $scenarios; do
    declare -F "scenario_$scenario" >/dev/null || { say "no scenario $scenario"; continue; }
    say "$scenario, load $(cut -d' ' -f1 /proc/loadavg)"
    "scenario_$scenario"
done
if [ $quick = 1 ]; then report=$OUT/RESULTS.md; else report=$here/RESULTS.md; fi
SERVER_CPUS=$SERVER_CPUS LOAD_CPUS=$LOAD_CPUS QUEUE_SCENARIOS=$queue_scenarios bash "$here/report.sh" "$results" "$OUT" >"$report"
cat "$report"
exit 0
