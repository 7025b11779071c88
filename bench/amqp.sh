# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The scenarios of the queue road, weir beside RabbitMQ, for run.sh, which sources this: it has the servers, the rounds
# and the results. Every run has queues of its own, which are deleted after it.

rabbitmq=$top/test/interop/rabbitmq.sh
rabbitmq_port=${RABBITMQ_PORT:-$((15000 + RANDOM % 4000))}
amqp_port=${AMQP_PORT:-$((19000 + RANDOM % 1900))}
celery_env=${CELERY_ENV:-$here/.cache/celery}
celery_version=5.6.3

amqp_address() { if [ "$1" = weir ]; then echo "127.0.0.1:$amqp_port"; else echo "127.0.0.1:$rabbitmq_port"; fi; }
serves_queues() { case " $queue_servers " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
amqp_gen() { taskset -c "$LOAD_CPUS" "$bin/amqp_gen" "$@"; }
queue_gen() { # SERVER WORDS...
    local server=$1 mode=$2
    shift 2
    amqp_gen "$mode" --server "$(amqp_address "$server")" --pid "$(pid_of "$server")" "$@"
}

# Becomes the generator, so that what kills the job kills it too: for loads in the background, as `(queue_load …) &`.
queue_load() { # SERVER WORDS...
    local server=$1 mode=$2
    shift 2
    exec taskset -c "$LOAD_CPUS" "$bin/amqp_gen" "$mode" --server "$(amqp_address "$server")" --pid "$(pid_of "$server")" --seconds 600 \
        --check off "$@" >/dev/null 2>&1
}

queue_rounds() { # SCENARIO QUEUES WORDS...
    local scenario=$1 queues=$2 round server
    shift 2
    for ((round = 0; round <= rounds; round++)); do
        for server in $queue_servers; do
            measure "$scenario" "$server" "$round" queue_gen "$server" publish --queue "$scenario" --queues "$queues" "$@"
            queue_gen "$server" delete --queue "$scenario" --queues "$queues" 2>/dev/null
            sleep 1
        done
        say "$scenario: round $round of $rounds (0 warms)"
    done
}

scenario_queue1() { queue_rounds queue1 1 --window 200 --seconds "$seconds"; }
scenario_queue100() { queue_rounds queue100 100 --window 200 --seconds "$seconds"; }
scenario_queue_one() { queue_rounds queue_one 1 --window 1 --seconds "$seconds"; }
# Not for a time but so many: RabbitMQ takes 4 GB of memory for these already.
scenario_transient() { queue_rounds transient 1 --size 256 --durable off --persistent off --messages 600000; }

consume_rounds() { # SCENARIO PREFETCH MESSAGES
    local scenario=$1 round server
    for ((round = 0; round <= rounds; round++)); do
        for server in $queue_servers; do
            queue_gen "$server" publish --queue "$scenario" --window 5000 --messages "$3" >/dev/null 2>"$OUT/gen.err" ||
                { not_run "$scenario" "$server" "$(tail -1 "$OUT/gen.err")"; continue; }
            measure "$scenario" "$server" "$round" queue_gen "$server" consume --queue "$scenario" --prefetch "$2"
            queue_gen "$server" delete --queue "$scenario" 2>/dev/null
        done
        say "$scenario: round $round of $rounds (0 warms)"
    done
}

scenario_take8() { consume_rounds take8 8 "$(count 150000)"; }
scenario_take200() { consume_rounds take200 200 "$(count 150000)"; }

fresh() { stop "$1"; wipe "$1"; start "$1"; } # SERVER: without memory of what was before

scenario_sessions() { # connections with a channel each, in servers that were just started
    local server
    for server in $queue_servers; do
        fresh "$server" || { not_run sessions "$server" 'did not start'; continue; }
        measure sessions "$server" 1 queue_gen "$server" connect --connections 1000
    done
}

scenario_backlog() { # resident memory while 500,000 messages wait, in a server that was just started
    local server
    for server in $queue_servers; do
        fresh "$server" || { not_run backlog "$server" 'did not start'; continue; }
        measure backlog "$server" 1 queue_gen "$server" publish --queue backlog --window 5000 --messages "$(count 500000)" --settle 5
        queue_gen "$server" delete --queue backlog 2>/dev/null
    done
}

scenario_backlog10m() { # 10 million small ones: what each further million adds. A peer's memory would be the machine's: weir alone.
    local i rss
    serves_queues weir || return
    fresh weir || { not_run backlog10m weir 'did not start'; return; }
    for ((i = 1; i <= 10; i++)); do
        queue_gen weir publish --queue backlog10m --window 5000 --size 16 --messages "$(count 1e6)" --check off --settle 1 >"$OUT/figures" 2>"$OUT/gen.err" ||
            { not_run backlog10m weir "$(tail -1 "$OUT/gen.err")"; return; }
        rss=$(awk '$1 == "server_rss_mb" { print $2 }' "$OUT/figures")
        say "backlog10m: $i million, $rss MB resident"
        case $i in 1 | 5 | 10) note backlog10m weir 1 "rss_${i}_million_mb" "$rss" ;; esac
    done
    note backlog10m weir 1 messages_per_s "$(awk '$1 == "messages_per_s" { print $2 }' "$OUT/figures")"
    queue_gen weir delete --queue backlog10m 2>/dev/null
}

celery_install() {
    [ -x "$celery_env/bin/celery" ] && return
    python3 -m venv "$celery_env" && "$celery_env/bin/pip" -q install "celery==$celery_version"
}

celery_publish() { # SERVER SECONDS
    taskset -c "$LOAD_CPUS" "$celery_env/bin/python" "$here/celery_publish.py" "amqp://guest:guest@$(amqp_address "$1")//" "$2"
}

scenario_celery() {
    local round server
    celery_install >"$OUT/celery.log" 2>&1 || {
        for server in $queue_servers; do not_run celery "$server" "Celery could not be installed: $(tail -1 "$OUT/celery.log")"; done
        return
    }
    for ((round = 0; round <= rounds; round++)); do
        for server in $queue_servers; do
            measure celery "$server" "$round" celery_publish "$server" "$seconds"
            queue_gen "$server" delete --queue bench-celery 2>/dev/null
        done
        say "celery: round $round of $rounds (0 warms)"
    done
}

# Kafka's scenarios alone and while queues are written and read beside them at 5,000 messages of 1 KB a second, on the same
# cores. The servers of these rows are weir and weir+amqp.
scenario_beside() {
    local round name scenario load
    serves_queues weir || return
    for ((round = 0; round <= rounds; round++)); do
        for name in weir weir+amqp; do
            for scenario in "e2e5000 e2e --rate 5000 --size 100" "produce1 produce"; do
                topic weir "beside-$round" 1 2>"$OUT/gen.err" || { not_run beside weir "$(tail -1 "$OUT/gen.err")"; return; }
                load=
                if [ $name = weir+amqp ]; then
                    (queue_load weir publish --queue beside --window 200 --rate 5000) &
                    load=$!
                    sleep 0.5
                    (queue_load weir consume --queue beside --prefetch 200) &
                    load="$load $!"
                    sleep 1
                fi
                # shellcheck disable=SC2086
                measure "beside-${scenario%% *}" $name "$round" log_gen weir ${scenario#* } --seconds "$seconds" --topic "beside-$round"
                # shellcheck disable=SC2086
                [ -z "$load" ] || { kill $load; wait $load; } 2>/dev/null
                drop weir "beside-$round" 2>/dev/null
                queue_gen weir delete --queue beside 2>/dev/null
                sleep 1
            done
        done
        say "beside: round $round of $rounds (0 warms)"
    done
}

scenario_generator() { # what the load generator could do, against a sink on the server's core
    amqp_gen limit --sink-cpu "${SERVER_CPUS##*[,-]}" --seconds 1 | while IFS=$'\t' read -r name value; do note limits machine 1 "$name" "$value"; done
}
