#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Kafka's own Java clients through its command line classes, from Maven Central; a Java program starts slowly here, so
# the checks are few and broad. The console tools print what they read; what they print is compared.
. "$(dirname "$0")/../../lib.sh"

need java openjdk-17-jre-headless
need mvn maven
bash "$here/kafka.sh" install >"$work/install.log" 2>&1 || notrun "Kafka's jars: $(tail -1 "$work/install.log")"

export t=org.apache.kafka.tools
tool() { bash "$here/kafka.sh" tool "$@"; }
at() { # CLASS ARG..: with the address
    local class=$1
    shift
    tool "$class" --bootstrap-server "$address" "$@"
}
want() { grep -q -- "$1" || { echo "expected: $1"; return 1; }; }

make_topic() { at $t.TopicCommand --create --topic "$1" --partitions "$2"; }
produce_range() {
    seq "$2" $(($3 - 1)) | awk '{ print "r" $1 "\tr" $1; if (NR % 100 == 0) { fflush(); system("sleep 0.1") } }' |
        at $t.ConsoleProducer --topic "$1" --reader-property parse.key=true
}
member() {
    exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "${KAFKA_LIBS:-$here/.cache/kafka/libs}/*" \
        $t.consumer.ConsoleConsumer --bootstrap-server "$address" --topic "$1" --group "$2" --from-beginning
}

roundtrip() { # CODEC: lines, then one of 900,000 letters; what is on disk must be smaller where there is a codec
    local topic=$tag-$1 size
    at $t.TopicCommand --create --topic "$topic" --partitions 1 || return
    { seq 1 5000; head -c 900000 /dev/zero | tr '\0' w; echo; } >"$work/in.$1"
    at $t.ConsoleProducer --topic "$topic" --compression-codec "$1" <"$work/in.$1" || return
    at $t.consumer.ConsoleConsumer --topic "$topic" --from-beginning --max-messages 5001 --timeout-ms 30000 >"$work/out.$1" || return
    cmp "$work/in.$1" "$work/out.$1" || return
    size=$(at $t.LogDirsCommand --describe --topic-list "$topic" | grep -o '"size":[0-9]*' | head -1 | tr -dc 0-9)
    echo "size $size"
    [ -n "$size" ] || return
    if [ "$1" = none ]; then [ "$size" -gt 900000 ]; else [ "$size" -lt 300000 ]; fi
}
headers_nulls() {
    local topic=$tag-headers out
    at $t.TopicCommand --create --topic "$topic" --partitions 1 || return
    printf 'a:1,b:2\tk\tv\nNUL\tNUL\tNUL\nc:\t\t\n' | at $t.ConsoleProducer --topic "$topic" --reader-property parse.key=true \
        --reader-property parse.headers=true --reader-property null.marker=NUL || return
    out=$(at $t.consumer.ConsoleConsumer --topic "$topic" --from-beginning --max-messages 3 --timeout-ms 30000 \
        --formatter-property print.key=true --formatter-property print.headers=true --formatter-property null.literal=NIL)
    echo "$out"
    [ "$out" = $'a:1,b:2\tk\tv\nNO_HEADERS\tNIL\tNIL\nc:\t\t' ]
}
topics() {
    local topic=$tag-topics
    at $t.TopicCommand --create --topic "$topic" --partitions 3 --config retention.ms=86400123 || return
    at $t.TopicCommand --create --topic "$topic" 2>&1 | want 'already exists' || return
    at $t.TopicCommand --list | want "^$topic$" || return
    at $t.TopicCommand --describe --topic "$topic" | want 'PartitionCount: 3.*retention.ms=86400123' || return
    at $t.TopicCommand --alter --topic "$topic" --partitions 5 || return
    at $t.TopicCommand --describe --topic "$topic" | want 'PartitionCount: 5' || return
    at $t.TopicCommand --delete --topic "$topic" || return
    ! at $t.TopicCommand --list | grep -q "^$topic$"
}
configs() {
    at kafka.admin.ConfigCommand --alter --entity-type topics --entity-name "$tag-none" --add-config retention.ms=86400456 || return
    at kafka.admin.ConfigCommand --describe --entity-type topics --entity-name "$tag-none" | want 'retention.ms=86400456' || return
    at kafka.admin.ConfigCommand --alter --entity-type topics --entity-name "$tag-none" --delete-config retention.ms || return
    at kafka.admin.ConfigCommand --alter --entity-type topics --entity-name "$tag-none" --add-config no.such.name=1 2>&1 |
        want 'InvalidConfig\|Unknown' || return
    at kafka.admin.ConfigCommand --describe --all --entity-type topics --entity-name "$tag-none" | want 'cleanup.policy=delete'
}
offsets() {
    local topic=$tag-none
    at $t.GetOffsetShell --topic "$topic" --time latest | want "^$topic:0:5001$" || return
    printf '{"partitions":[{"topic":"%s","partition":0,"offset":4000}],"version":1}' "$topic" >"$work/delete.json"
    at $t.DeleteRecordsCommand --offset-json-file "$work/delete.json" | want 'low_watermark: 4000' || return
    at $t.GetOffsetShell --topic "$topic" --time earliest | want "^$topic:0:4000$"
}
groups() {
    local g=$tag-g
    at $t.consumer.group.ConsumerGroupCommand --list | want "^$g$" || return
    at $t.consumer.group.ConsumerGroupCommand --describe --group "$g" --offsets | want "$tag-group" || return
    at $t.consumer.group.ConsumerGroupCommand --describe --group "$g" --state | want 'Empty\|Stable' || return
    at $t.consumer.group.ConsumerGroupCommand --describe --group "$g" --members || return
    at $t.consumer.group.ConsumerGroupCommand --reset-offsets --group "$g" --to-earliest --topic "$tag-group" --execute | want "$tag-group" || return
    at $t.consumer.group.ConsumerGroupCommand --delete --group "$g" | want 'successful'
}
cluster() {
    tool $t.ClusterTool cluster-id --bootstrap-server "$address" | want 'Cluster ID: .' || return
    tool $t.ClusterTool list-endpoints --bootstrap-server "$address" | want "${address%:*}" || return
    at $t.BrokerApiVersionsCommand | want 'Produce(0)' || return
    at $t.GroupsCommand --list >/dev/null
}
performance() {
    at $t.TopicCommand --create --topic "$tag-perf" --partitions 3 || return
    at $t.ProducerPerformance --topic "$tag-perf" --num-records 50000 --record-size 1000 --throughput -1 | want '50000 records sent' || return
    at $t.ConsumerPerformance --topic "$tag-perf" --num-records 50000 --group "$tag-perf" --timeout 30000 | want ', 50000, '
}
verifiable() {
    at $t.VerifiableProducer --topic "$tag-verify" --max-messages 500 --throughput 1000 --acks -1 | want '"acked":500' || return
    at $t.VerifiableConsumer --topic "$tag-verify" --group-id "$tag-verify" --max-messages 500 --reset-policy earliest |
        want '"totalCount":500\|"count":'
}

for codec in none gzip snappy lz4 zstd; do
    check_fn "produce and consume, $codec; size on disk" roundtrip $codec
done
check_fn 'headers, null and empty keys and values' headers_nulls
check_fn 'TopicCommand' topics
check_fn 'ConfigCommand' configs
check_fn 'GetOffsetShell, DeleteRecordsCommand' offsets
check_fn 'ClusterTool, BrokerApiVersionsCommand, GroupsCommand' cluster
check_fn 'ProducerPerformance, ConsumerPerformance' performance
check_fn 'VerifiableProducer, VerifiableConsumer' verifiable
group_check
check_fn 'ConsumerGroupCommand' groups
