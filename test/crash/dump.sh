#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Kafka's own reader over a store's files: dump.sh DATA_DIR. Every .log (each record unpacked), .index and .timeindex
# goes through DumpLogSegments, which ends with 0 whatever it finds: what counts is that it says nothing on standard
# error, and that it has seen batches at all. Needs a JDK and Kafka's jars: KAFKA_LIBS, or where `make interop` puts them.
#
# One thing Kafka 4.3's tool says of every segment that does not begin at offset 0, Kafka's own included: it takes -1 for
# the offset before the first and reports "-1 is followed by BASE". Exactly that, with the base that the file is named
# after, is left out; a hole anywhere else is not.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${1:?DATA_DIR}
libs=${KAFKA_LIBS:-$here/../interop/.cache/kafka/libs}

compgen -G "$libs/kafka-clients-*.jar" >/dev/null && command -v java >/dev/null || {
    echo "NOT RUN dump: no java or no Kafka in ${KAFKA_LIBS:-test/interop/.cache/kafka/libs} (test/interop/kafka.sh install)"
    exit 77
}

files=$(find "$data/log" -name '*.log' -size +0 -o -name '*.index' -size +0 -o -name '*.timeindex' -size +0 | sort)
[ -n "$files" ] || { echo "FAIL dump: no segments in $data/log"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '<Configuration status="ERROR"><Appenders><Console name="c" target="SYSTEM_ERR"/></Appenders><Loggers><Root level="WARN"><AppenderRef ref="c"/></Root></Loggers></Configuration>' >"$work/log.xml"
: >"$work/faults"
batches=0 count=0
# A few hundred files a run: the argument list has its limit, and so has the memory of a small machine.
while read -r -a some; do
    list=$(IFS=,; echo "${some[*]}")
    java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$work/log.xml" -cp "$libs/*" \
        org.apache.kafka.tools.DumpLogSegments --deep-iteration --files "$list" 2>>"$work/err" |
        awk -v bad="$work/faults" '/^baseOffset: / { n++; if (!/ isvalid: true$/) print >>bad } END { print n + 0 }' >"$work/n"
    [ "${PIPESTATUS[0]}" -eq 0 ] || echo "DumpLogSegments ended with an error" >>"$work/err"
    batches=$((batches + $(cat "$work/n")))
    count=$((count + ${#some[@]}))
done < <(echo "$files" | xargs -n 300)
awk '/^Non-consecutive offsets in / { header = $0; base = $NF; sub(/.*\//, "", base); sub(/\.log$/, "", base); next }
     /^  -?[0-9]+ is followed by [0-9]+$/ && header != "" && $1 == -1 && $5 + 0 == base + 0 { next }
     { if (header != "" && /^  /) print header; print }' "$work/err" >>"$work/faults"
bytes=$(find "$data/log" -name '*.log' -printf '%s\n' | awk '{n += $1} END {print n + 0}')
if [ -s "$work/faults" ] || [ "$batches" -eq 0 ]; then
    head -20 "$work/faults"
    echo "FAIL dump: $(wc -l <"$work/faults") complaints, $batches batches in $count files"
    exit 1
fi
echo "ok   dump: DumpLogSegments --deep-iteration of $count files, $((bytes / 1000000)) MB, $batches batches: nothing on standard error"
