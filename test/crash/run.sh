#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# kill -9 under load on the real disk, with one shard and with three: crash.c does the rounds, then the store is verified
# at rest by `weir check` and by Kafka's own DumpLogSegments, and acks.sh holds the order of system calls against the
# acknowledgements.
#
#   run.sh [--rounds N] [--shards N]… [--rate BYTES_PER_S] [--keep]      5 rounds each by default; `make crash` does 100
#
# The store lies in build/, not in /tmp, which may be memory. WEIR names another binary, KAFKA_LIBS Kafka's jars.
set -uo pipefail
cd "$(dirname "$0")/../.."
here=test/crash
rounds=5 rate=12000000 keep= shards=()
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2 && shift ;;
    --shards) shards+=("$2") && shift ;;
    --rate) rate=$2 && shift ;;
    --keep) keep=yes ;;
    *) sed -n '4,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#shards[@]} -gt 0 ] || shards=(1 3)

passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)) && echo "FAIL $*"; }

mkdir -p build/crash
work=$(mktemp -d build/crash/run.XXXXXX)
finish() { [ -n "$keep" ] || [ "$failed" -gt 0 ] || rm -rf "$work"; }
trap finish EXIT
cp "${WEIR:-./weir}" "$work/weir" || exit 1
${CC:-cc} -O2 -g -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wconversion -o build/crash/crash $here/*.c \
    -lrdkafka -lrabbitmq -lpthread || exit 1

check() { # DATA
    local out
    if out=$("$work/weir" check "$1" 2>&1); then
        echo "ok   weir check: $(echo "$out" | grep '^logs' | tr -s ' '), $(echo "$out" | tail -1)" && ok
    else
        bad "weir check $1: $(echo "$out" | tail -5)"
    fi
}

dump() { # DATA
    KAFKA_LIBS=${KAFKA_LIBS:-} $here/dump.sh "$1"
    case $? in 0) ok ;; 77) ;; *) bad "dump of $1" ;; esac
}

for n in "${shards[@]}"; do
    mkdir "$work/$n"
    if build/crash/crash --weir "$work/weir" --dir "$work/$n" --rounds "$rounds" --shards "$n" --rate "$rate"; then
        ok
    else
        bad "crash rounds with $n shards; what is left is in $work/$n"
    fi
    check "$work/$n/data"
    dump "$work/$n/data"
done

$here/acks.sh "$work"
case $? in 0) ok ;; 77) ;; *) bad "acknowledgements and durable writes" ;; esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
