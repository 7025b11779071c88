#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The peer: Apache Kafka, one KRaft node, from Maven Central, for `run.sh --peer kafka`, for the suites and for bench/run.sh.
# Its own script rather than a container image, because a package registry is all that a user of `make interop` must reach.
# Broker and controller share one process, so that the peer has one process whose CPU and memory can be read.
#
#   kafka.sh install                 fetch the jars into $KAFKA_LIBS (needs java 17 or later and mvn)
#   kafka.sh start RUN PORT [WORD..] start on 127.0.0.1:PORT, controller on PORT+1; keeps or creates RUN/data; waits until it answers
#                                    words: flush = fsync on every append; acl = ACL APIs on, what no ACL names stays allowed
#   kafka.sh prepare RUN PORT [WORD..] only format and configure; then `kafka.sh exec RUN` becomes the broker (bench does)
#   kafka.sh stop RUN | status RUN   by the process id in RUN/pid
#   kafka.sh wipe RUN                forget all data, while stopped
#   kafka.sh tool CLASS [ARG..]      one of Kafka's command line classes
#   kafka.sh scripts DIR             DIR/bin/kafka-*.sh under their usual names, for suites that call them (KAFKA_PATH=DIR)
#
# Environment: KAFKA_LIBS (folder of the jars; default .cache/kafka/libs beside this file), KAFKA_VERSION (4.3.1),
# KAFKA_HEAP (1g), KAFKA_TOOL_HEAP (256m), KAFKA_PARTITIONS of a topic created by itself (1), KAFKA_NODE_ID (1),
# KAFKA_EXTRA (file with further server properties), KAFKA_CPUS (a taskset list for the broker).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs=${KAFKA_LIBS:-$here/.cache/kafka/libs}
version=${KAFKA_VERSION:-4.3.1}

die() { echo "kafka.sh: $*" >&2; exit 1; }

need_java() { command -v java >/dev/null || die 'java is missing: apt-get install openjdk-17-jre-headless'; }

installed() { [ -f "$libs/kafka-clients-$version.jar" ]; }

verb_install() {
    installed && { echo "Kafka $version is in $libs"; return; }
    need_java
    command -v mvn >/dev/null || die 'mvn is missing: apt-get install maven'
    mkdir -p "$libs"
    local pom; pom=$(mktemp -d)
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>weir.peer</groupId><artifactId>kafka</artifactId><version>0</version><packaging>pom</packaging><dependencies>'
        while read -r group artifact v; do
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$v</version></dependency>"
        done <<LIST
org.apache.kafka kafka_2.13 $version
org.apache.kafka kafka-tools $version
org.apache.logging.log4j log4j-slf4j-impl 2.25.4
org.apache.logging.log4j log4j-core 2.25.4
LIST
        echo '</dependencies></project>'
    } >"$pom/pom.xml"
    mvn -q -B -f "$pom/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$libs" -DincludeScope=runtime || die 'mvn could not fetch Kafka'
    rm -rf "$pom"
    installed || die "no kafka-clients-$version.jar in $libs after the install"
    echo "Kafka $version is in $libs"
}

log_config() { # FILE: log4j2 to standard output; level by -Dweir.level
    cat >"$1" <<'XML'
<Configuration status="ERROR">
  <Appenders><Console name="c" target="SYSTEM_ERR"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="${sys:weir.level:-INFO}"><AppenderRef ref="c"/></Root></Loggers>
</Configuration>
XML
}

server_config() { # RUN PORT [WORD..]
    local run=$1 port=$2 word
    shift 2
    {
        echo process.roles=broker,controller
        echo "node.id=${KAFKA_NODE_ID:-1}"
        echo "controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))"
        echo "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))"
        echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port"
        echo controller.listener.names=CONTROLLER
        echo inter.broker.listener.name=PLAINTEXT
        echo "log.dirs=$run/data"
        echo "num.partitions=${KAFKA_PARTITIONS:-1}"
        echo group.initial.rebalance.delay.ms=0
        for word in offsets.topic transaction.state.log share.coordinator.state.topic; do
            echo "$word.replication.factor=1"
            echo "$word.num.partitions=8"
        done
        echo transaction.state.log.min.isr=1
        echo share.coordinator.state.topic.min.isr=1
        for word; do
            case $word in
            flush) echo log.flush.interval.messages=1 ;;
            acl)
                echo authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
                echo allow.everyone.if.no.acl.found=true
                ;;
            *) die "unknown word '$word' (flush, acl)" ;;
            esac
        done
        if [ -n "${KAFKA_EXTRA:-}" ]; then cat "$KAFKA_EXTRA"; fi
    } >"$run/server.properties"
    log_config "$run/log4j2.xml"
}

tool() {
    need_java
    local conf=${TMPDIR:-/tmp}/weir-kafka-tool-log4j2.$UID.xml
    [ -s "$conf" ] || { log_config "$conf.$$" && mv "$conf.$$" "$conf"; }
    java -Xmx"${KAFKA_TOOL_HEAP:-256m}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dweir.level=WARN \
        -Dlog4j2.configurationFile="$conf" -cp "$libs/*" "$@"
}

alive() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

wait_ready() { # RUN PORT
    local i
    for ((i = 0; i < 2400; i++)); do
        alive "$1" || { tail -20 "$1/log" >&2; rm -f "$1/pid"; die "Kafka ended while starting, see $1/log"; }
        if grep -q 'Kafka Server started' "$1/log" && answers "$2"; then return; fi
        sleep 0.05
    done
    die "no answer on port $2 after 120 s, see $1/log"
}

verb_prepare() { # RUN PORT [WORD..]: configuration and a formatted data folder
    local run=$1 id
    mkdir -p "$run"
    server_config "$@"
    [ ! -f "$run/data/meta.properties" ] || return 0
    id=$(tool kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)
    tool kafka.tools.StorageTool format --standalone -t "$id" -c "$run/server.properties" >"$run/format.log" 2>&1 ||
        { cat "$run/format.log" >&2; die "could not format $run/data"; }
}

# Become the broker of a folder that was started once. The options are those of Kafka's own start script, so that the
# peer runs as its makers run it.
verb_exec() {
    exec java -Xms"${KAFKA_HEAP:-1g}" -Xmx"${KAFKA_HEAP:-1g}" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
        -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true \
        -Dlog4j2.configurationFile="$1/log4j2.xml" -cp "$libs/*" kafka.Kafka "$1/server.properties"
}

verb_start() {
    [ $# -ge 2 ] || die 'start RUN PORT [flush] [acl]'
    mkdir -p "$1"
    local run port t0 pin=()
    run=$(cd "$1" && pwd)
    port=$2
    shift 2
    installed || verb_install
    alive "$run" && die "already running, process $(cat "$run/pid")"
    verb_prepare "$run" "$port" "$@"
    if [ -n "${KAFKA_CPUS:-}" ]; then pin=(taskset -c "$KAFKA_CPUS"); fi
    t0=$(date +%s%N)
    nohup "${pin[@]}" bash "${BASH_SOURCE[0]}" exec "$run" >"$run/log" 2>&1 </dev/null &
    echo $! >"$run/pid"
    wait_ready "$run" "$port"
    echo "$port" >"$run/port"
    echo "Kafka answers on 127.0.0.1:$port after $((($(date +%s%N) - t0) / 1000000)) ms, process $(cat "$run/pid")"
}

verb_stop() {
    alive "$1" || { rm -f "$1/pid"; echo 'not running'; return; }
    local pid i; pid=$(cat "$1/pid")
    kill "$pid"
    for ((i = 0; i < 400; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null && echo "process $pid did not stop in 40 s: killed"
    rm -f "$1/pid"
    echo "stopped $pid"
}

verb_status() {
    alive "$1" || { echo 'not running'; return 1; }
    local pid; pid=$(cat "$1/pid")
    echo "process $pid, port $(cat "$1/port"), $(awk '/^VmRSS/ { printf "resident %d MB", $2 / 1024 }' "/proc/$pid/status")"
}

verb_wipe() {
    alive "$1" && die 'still running: stop it first'
    rm -rf "${1:?}/data" "$1/log" "$1/format.log"
}

verb_scripts() { # DIR
    local name class
    mkdir -p "$1/bin"
    while read -r name class; do
        printf '#!/bin/sh\nKAFKA_LIBS="%s" exec bash "%s" tool %s "$@"\n' "$libs" "$here/kafka.sh" "$class" >"$1/bin/$name.sh"
        chmod +x "$1/bin/$name.sh"
    done <<'LIST'
kafka-topics org.apache.kafka.tools.TopicCommand
kafka-configs kafka.admin.ConfigCommand
kafka-acls org.apache.kafka.tools.AclCommand
kafka-groups org.apache.kafka.tools.GroupsCommand
kafka-consumer-groups org.apache.kafka.tools.consumer.group.ConsumerGroupCommand
kafka-share-groups org.apache.kafka.tools.consumer.group.ShareGroupCommand
kafka-get-offsets org.apache.kafka.tools.GetOffsetShell
kafka-delete-records org.apache.kafka.tools.DeleteRecordsCommand
kafka-log-dirs org.apache.kafka.tools.LogDirsCommand
kafka-broker-api-versions org.apache.kafka.tools.BrokerApiVersionsCommand
kafka-cluster org.apache.kafka.tools.ClusterTool
kafka-console-producer org.apache.kafka.tools.ConsoleProducer
kafka-console-consumer org.apache.kafka.tools.consumer.ConsoleConsumer
kafka-verifiable-producer org.apache.kafka.tools.VerifiableProducer
kafka-verifiable-consumer org.apache.kafka.tools.VerifiableConsumer
LIST
}

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
install | start | prepare) "verb_$verb" "$@" ;;
stop | status | wipe | scripts | exec) [ $# -eq 1 ] || die "$verb needs a folder"; mkdir -p "$1"; "verb_$verb" "$(cd "$1" && pwd)" ;;
tool) installed || verb_install >&2; [ $# -ge 1 ] || die 'tool CLASS [ARG..]'; tool "$@" ;;
*) sed -n '8,23s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
