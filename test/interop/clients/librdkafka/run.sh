#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# librdkafka from C: check.c against Debian's librdkafka-dev.
. "$(dirname "$0")/../../lib.sh"

need cc gcc
need pkg-config pkg-config
pkg-config --exists rdkafka || notrun 'librdkafka is missing (apt-get install librdkafka-dev)'
bin=$work/check
# shellcheck disable=SC2046
cc -std=gnu17 -O2 -Wall -Wextra -o "$bin" "$client_dir"/check.c "$client_dir"/admin.c $(pkg-config --cflags --libs rdkafka) 2>"$work/cc.log" ||
    { fail build "$(head -1 "$work/cc.log")"; exit 1; }

make_topic() { "$bin" "$address" create "$1" "$2"; }
produce_range() { "$bin" "$address" produce "$1" "$2" "$3"; }
member() { exec "$bin" "$address" member "$1" "$2"; }

for codec in none gzip snappy lz4 zstd; do
    check "produce and consume, $codec" "$bin" "$address" roundtrip "$tag-$codec" $codec
done
for codec in gzip snappy lz4 zstd; do
    check "compressed on the wire, $codec" "$bin" "$address" wire "$tag-wire-$codec" $codec
done
check 'idempotent producer' "$bin" "$address" idempotent "$tag-idem"
check 'a record too large is refused' "$bin" "$address" toobig "$tag-big"
check 'watermarks, offsets by time, commit' "$bin" "$address" offsets "$tag-offsets"
check 'admin: topics, configs, partitions, records' "$bin" "$address" admin "$tag-admin"
group_check
check 'admin: list and delete a group' "$bin" "$address" groups "$tag-g"
