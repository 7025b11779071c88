#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs unit test binaries: tools/unit.sh BUILD_DIR BINARY… As many at once as there are cores
# (UNIT_JOBS). One line a binary; one that fails is shown in full, and all run whatever fails. The
# closing line is "N passed, N failed", counted in tests, not in binaries.
set -u

# Runs one binary; leaves its counts in a file for the sum, and prints its line whole, since
# others print as well.
one() {
    local build=$1 binary=$2 name log began status ms ok bad
    name=${binary#"$build"/test/}
    log=$build/unit/${name//\//-}.log
    began=$(date +%s%N)
    timeout --kill-after=5 "${UNIT_TIMEOUT:-240}" "$binary" >"$log" 2>&1
    status=$?
    ms=$((($(date +%s%N) - began) / 1000000))
    # cmocka's closing lines: "[  PASSED  ] 12 test(s)." and "[  FAILED  ] 1 test(s), …".
    ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    if [ "$status" -eq 0 ] && [ "$ok" -gt 0 ]; then
        echo "ok   $name: $ok passed, $ms ms"
    else
        [ "$bad" -gt 0 ] || bad=1
        flock "$build/unit/lock" -c "cat '$log'; echo 'FAIL $name: $ok passed, $bad failed, exit status $status, $ms ms'"
    fi
    echo "$ok $bad" >"$log.count"
}

if [ "$1" = --one ]; then
    one "$2" "$3"
    exit 0
fi
build=$1
shift
rm -rf "$build/unit"
mkdir -p "$build/unit"
[ $# -eq 0 ] || printf '%s\0' "$@" | xargs -0 -n 1 -P "${UNIT_JOBS:-$(nproc 2>/dev/null || echo 2)}" "$0" --one "$build"
# A binary that left no count was never run to its end.
read -r passed failed < <(cat "$build"/unit/*.count 2>/dev/null | awk -v all=$# \
    '{ok += $1; bad += $2} END {print ok + 0, bad + all - NR}')
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ $# -eq 0 -o "$passed" -gt 0 ]
