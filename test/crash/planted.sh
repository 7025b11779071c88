#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tests, tested: servers with a bug planted (base/bugs.h) that acks.sh, or the crash rounds, must find. The switch is a
# variable that `weir serve` leaves alone, so each server is linked with a copy of bugs.c in which it begins otherwise.
set -uo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build/crash
work=$(mktemp -d "$PWD/build/crash/planted.XXXXXX")
trap 'rm -rf "$work"' EXIT
cc=${CC:-gcc}
make -s all || exit 1
read -r -a libs < <(make -s --no-print-directory --eval='print-libs: ; @echo $(LIBS)' print-libs)
"$cc" -O2 -std=gnu17 -D_GNU_SOURCE -o "$work/crash" test/crash/*.c -lrdkafka -lpthread || exit 1
passed=0 failed=0

plant() { # BUG
    sed "s/^enum bug bug_planted = .*/enum bug bug_planted = BUG_$1;/" src/base/bugs.c >"$work/bugs.c"
    cmp -s src/base/bugs.c "$work/bugs.c" && { echo "FAIL planted: the switch is not where it was"; exit 1; }
    "$cc" -std=gnu17 -D_GNU_SOURCE -Isrc -I. -O2 -fPIE -c -o "$work/bugs.o" "$work/bugs.c" &&
        "$cc" -pie -pthread -o "$work/weir" build/gcc-release/obj/src/cli/main.o "$work/bugs.o" \
            build/gcc-release/libweir.a "${libs[@]}" || exit 1
}

found() { # BUG BY STATUS
    if [ "$3" -eq 1 ]; then
        passed=$((passed + 1)) && echo "ok   $1 is found by $2"
    else
        failed=$((failed + 1)) && echo "FAIL $1 is not found by $2 (status $3)"
    fi
}

for bug in EARLY_ACK SKIP_SYNC DIRECT_NO_SYNC; do
    plant $bug
    WEIR=$work/weir test/crash/acks.sh "$work" >"$work/out" 2>&1
    status=$?
    [ "$status" -ne 77 ] || { cat "$work/out"; continue; }
    grep -q '^FAIL acks' "$work/out" || status=99 # it must be the verdict, not some other trouble
    found $bug acks.sh $status
done
for bug in DUP_SEQUENCE LOSE_OFFSETS; do
    plant $bug
    mkdir "$work/$bug"
    "$work/crash" --weir "$work/weir" --dir "$work/$bug" --rounds 12 >"$work/out" 2>&1
    status=$?
    grep -q '^shards 1: 12 rounds' "$work/out" || status=99
    found $bug 'the crash rounds' $status
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
