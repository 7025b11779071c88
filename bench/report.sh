#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# From the figures of a run (scenario, server, round, figure, value) to the page that people read: the machine, its own
# limits, and per scenario the medians with their spread and the ratios, which are formed within a round and then
# taken the median of, because a shared machine drifts between rounds.
#   report.sh RESULTS.TSV FOLDER-OF-THE-DATA >RESULTS.md
set -uo pipefail

machine() {
    echo '# Benchmarks: weir beside Apache Kafka and RabbitMQ'
    echo
    echo "Written by \`make bench\` on $(date -u +%Y-%m-%d), weir $(git -C "$(dirname "$0")" rev-parse --short HEAD 2>/dev/null), Kafka ${KAFKA_VERSION:-4.3.1}, $(java -version 2>&1 | head -1),"
    echo "RabbitMQ $(dpkg-query -W -f '${Version}' rabbitmq-server 2>/dev/null) on Erlang $(dpkg-query -W -f '${Version}' erlang-base 2>/dev/null); librdkafka $(pkg-config --modversion rdkafka) and rabbitmq-c $(pkg-config --modversion librabbitmq) under the load generators."
    echo
    echo "Machine: $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, $(awk '/MemTotal/ { printf "%d GB", $2 / 1e6 }' /proc/meminfo), Linux $(uname -r), data on $(df -T "$1" | awk 'NR == 2 { print $2 }'); server on core ${SERVER_CPUS:-?}, load generator on ${LOAD_CPUS:-?};"
    echo "dirty pages: $(cat /proc/sys/vm/dirty_background_ratio) % background, $(cat /proc/sys/vm/dirty_ratio) % limit: what Kafka as shipped leaves to the page cache stays below that, and its disk writes are in no figure of its."
    echo "Load of the machine when this was written, over 1, 5 and 15 minutes: $(cut -d' ' -f1-3 /proc/loadavg). Above 2 others worked on it: then read the ratios, and no tail."
    echo
    echo 'weir is always durable: it acknowledges after the sync. `kafka` is as shipped and never syncs; `flush` is the same broker with flush.messages=1.'
    echo 'RabbitMQ confirms a persistent message in a durable queue after its sync, too.'
    echo 'Median [lowest to highest] of the rounds; ratios are formed within a round. Idle servers stay up while another is measured.'
}

tables() {
    awk -F'\t' -v queue_scenarios="${QUEUE_SCENARIOS:-}" '
        function sort_values(a, n,    i, j, t) { for (i = 2; i <= n; i++) { t = a[i]; for (j = i - 1; j >= 1 && a[j] > t; j--) a[j + 1] = a[j]; a[j + 1] = t } }
        function median(a, n) { sort_values(a, n); return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2 }
        function show(x) { return x >= 1000 ? sprintf("%d", x + 0.5) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.3g", x) }
        function cell(s, v, f,    n, a, m, k) {
            n = 0
            for (k = 1; k <= top; k++) if ((s, v, k, f) in value) a[++n] = value[s, v, k, f]
            if (!n) return (s, v) in missing ? "NOT RUN" : "-"
            m = median(a, n)
            return n > 1 ? show(m) " [" show(a[1]) " to " show(a[n]) "]" : show(m)
        }
        function ratio(s, f, one, peer,    n, a, k) {
            n = 0
            for (k = 1; k <= top; k++)
                if ((s, one, k, f) in value && (s, peer, k, f) in value && value[s, peer, k, f] > 0) a[++n] = value[s, one, k, f] / value[s, peer, k, f]
            return n ? sprintf("%.2f", median(a, n)) : "-"
        }
        # A column for each server and each ratio ("a/b"); the scenarios that none of them ran have no rows.
        function side_by_side(title, columns, mine,    c, nc, n, i, j, k, s, f, line, parts) {
            nc = split(columns, c, " ")
            line = "\n## " title "\n\n| scenario | figure |"
            for (k = 1; k <= nc; k++) { sub("/", " / ", c[k]); line = line " " c[k] " |" }
            line = line "\n| --- | --- |"
            for (k = 1; k <= nc; k++) line = line " --- |"
            for (j = 1; j <= ns; j++) {
                s = order[j]
                if (s == "limits" || index(" " mine " ", " " road(s) " ") == 0) continue
                for (i = 1; i <= nf[s]; i++) {
                    f = figures[s, i]
                    if (!n++) print line
                    printf "| %s | %s |", s, f
                    for (k = 1; k <= nc; k++) printf " %s |", split(c[k], parts, " / ") == 2 ? ratio(s, f, parts[1], parts[2]) : cell(s, c[k], f)
                    print ""
                }
            }
        }
        function road(s) { return s ~ /^beside-/ ? "beside" : index(" " queue_scenarios " ", " " s " ") ? "queue" : "log" }
        $4 == "not_run" { missing[$1, $2] = $5; reasons[++nr] = $1 ", " $2 ": " $5; next }
        {
            value[$1, $2, $3, $4] = $5 + 0
            if ($3 > top) top = $3
            if (!(($1, $4) in known)) { known[$1, $4] = 1; if (!($1 in nf)) order[++ns] = $1; figures[$1, ++nf[$1]] = $4 }
        }
        END {
            if ("limits" in nf) {
                print "\n## The machine itself\n\n| | |\n| --- | --- |"
                for (i = 1; i <= nf["limits"]; i++) { f = figures["limits", i]; print "| " f " | " cell("limits", "machine", f) " |" }
            }
            side_by_side("Beside Kafka", "weir kafka flush weir/kafka weir/flush", "log")
            side_by_side("Beside RabbitMQ", "weir rabbitmq weir/rabbitmq", "queue")
            side_by_side("Kafka clients while queues are written and read beside them", "weir weir+amqp weir+amqp/weir", "beside")
            if (nr) { print "\n## Not run\n"; for (i = 1; i <= nr; i++) print "- " reasons[i] }
        }' "$1"
}

notes() {
    cat <<'MD'

## What the scenarios are
- produce1, produce100: 1,000-byte records in librdkafka's default batches, acks=all, one and 100 partitions.
- one: one record in flight, linger 0. e2e1000, e2e5000, e2e20000: single 100-byte records at that rate, linger 0; time from produce to consume.
- consume: what was just written. restart: the same after an orderly restart, the client checking CRCs.
- startup: fork to the first acknowledged record on an empty folder, creating the topic (Kafka's folder is formatted before the clock starts). recover: the same after kill -9 on the data written before.
- idle: resident after 5 s. conns: resident per connection that asked for metadata (a JVM's heap is resident beforehand, so its figure says little). parts: orderly restart with that many partitions to the first acknowledged record.
- queue1, queue100: 1,000-byte persistent messages, confirmed, at most 200 unconfirmed, to one durable queue and round robin to 100. queue_one: one at a time.
- transient: 600,000 transient messages of 256 bytes to a queue that is not durable, unconfirmed; until the server counts them all. take8, take200: 150,000 messages of 1,000 bytes, prefetch 8 and 200, an ack each in a write of its own.
- sessions: resident per idle connection with a channel. backlog: resident 5 s after 500,000 messages of 1,000 bytes, in a server started for it. backlog10m: after 1, 5 and 10 million of 16 bytes.
- celery: `.delay()` in a loop with confirms; Python itself is about half of it. beside: 5,000 messages of 1,000 bytes a second are published, confirmed, consumed and acknowledged meanwhile, by two more programs on the generator's core.
- generator_…: what the AMQP load generator reaches against a sink on the server's core: far above all servers when publishing, about what weir does when consuming with an ack each.
- server_cpu_s_per_gb counts user and system time of the server's process per 10^9 bytes of values.
MD
}

machine "$2"
tables "$1"
notes
