#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kcat as Debian ships it. It can create topics only by producing to them, so the group's topic of six partitions is
# made by the librdkafka check beside it.
. "$(dirname "$0")/../../lib.sh"

need kcat kcat
need cc gcc
pkg-config --exists rdkafka 2>/dev/null || notrun 'librdkafka-dev is missing (apt-get install librdkafka-dev): the group topic needs it'
maker=$work/maker
# shellcheck disable=SC2046
cc -O2 -o "$maker" "$here"/clients/librdkafka/{check,admin}.c $(pkg-config --cflags --libs rdkafka) 2>"$work/cc.log" ||
    { fail build "$(head -1 "$work/cc.log")"; exit 1; }

make_topic() { "$maker" "$address" create "$1" "$2"; }
produce_range() { # in steps, so that it takes seconds and a member can be killed on the way
    seq "$2" $(($3 - 1)) | awk '{ print "r" $1 ":r" $1; if (NR % 100 == 0) { fflush(); system("sleep 0.1") } }' |
        kcat -b "$address" -P -t "$1" -K:
}
member() { exec kcat -q -u -b "$address" -G "$2" "$1" -X auto.offset.reset=earliest -f '%s\n'; }

roundtrip() { # CODEC
    local topic=$tag-$1 flags=()
    [ "$1" = none ] || flags=(-z "$1")
    seq 1 20000 >"$work/in.$1"
    kcat -b "$address" -P -p 0 -t "$topic" "${flags[@]}" "$work/in.$1" -l || return
    kcat -q -b "$address" -C -p 0 -t "$topic" -o beginning -e >"$work/out.$1" || return
    cmp "$work/in.$1" "$work/out.$1"
}
big() {
    head -c 740000 /dev/urandom | base64 -w0 >"$work/big.in"
    kcat -b "$address" -P -p 0 -t "$tag-bigone" "$work/big.in" || return
    kcat -q -b "$address" -C -p 0 -t "$tag-bigone" -o beginning -e -D '' >"$work/big.out" || return
    cmp "$work/big.in" "$work/big.out"
}
headers() {
    printf 'k:v' | kcat -b "$address" -P -p 0 -t "$tag-headers" -K: -H a=1 -H b= -H a=2 || return
    [ "$(kcat -q -b "$address" -C -p 0 -t "$tag-headers" -o beginning -e -f '%k %s %h')" = 'k v a=1,b=,a=2' ]
}
nulls() { # -Z: empty means null; without it empty stays empty
    printf ':\n' | kcat -b "$address" -P -p 0 -t "$tag-nulls" -K: -Z || return
    printf ':\n' | kcat -b "$address" -P -p 0 -t "$tag-nulls" -K: || return
    [ "$(kcat -q -b "$address" -C -p 0 -t "$tag-nulls" -o beginning -e -f '%K,%S ')" = '-1,-1 0,0 ' ]
}
positions() {
    local topic=$tag-none now
    [ "$(kcat -q -b "$address" -C -p 0 -t "$topic" -o 19990 -e | head -1)" = 19991 ] || { echo 'absolute offset'; return 1; }
    [ "$(kcat -q -b "$address" -C -p 0 -t "$topic" -o -5 -e | head -1)" = 19996 ] || { echo 'offset from the end'; return 1; }
    kcat -b "$address" -Q -t "$topic:0:-1" | grep -q 'offset 20000' || { echo '-Q latest'; return 1; }
    now=$(($(date +%s%3N) + 3600000))
    [ "$(kcat -q -b "$address" -C -p 0 -t "$topic" -o "s@1000" -o "e@$now" -e -c 3 | tail -1)" = 3 ] || { echo 'by time'; return 1; }
}
metadata() {
    kcat -b "$address" -L -J >"$work/md.json" || return
    grep -q "\"topic\":\"$tag-none\"" "$work/md.json" || { echo 'topic not listed'; return 1; }
    kcat -b "$address" -L | grep -q '1 brokers' || { echo 'not one broker'; return 1; }
}

for codec in none gzip snappy lz4 zstd; do
    check_fn "produce and consume, $codec" roundtrip $codec
done
check_fn 'a record of 1 MB' big
check_fn headers headers
check_fn 'null and empty keys and values' nulls
check_fn 'from an offset, the end, a time' positions
check_fn 'metadata, JSON and text' metadata
group_check
