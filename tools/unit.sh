#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs unit test binaries one after the other: tools/unit.sh BUILD_DIR BINARY…
# One line a binary; the first that fails is shown in full and ends the run. The closing line is
# "N passed, N failed", counted in tests, not in binaries; it is also left in BUILD_DIR/unit.result.
set -u

build=$1
shift
passed=0
failed=0
log=$build/unit.log
for binary in "$@"; do
    name=${binary#"$build"/test/}
    began=$(date +%s%N)
    timeout --kill-after=5 "${UNIT_TIMEOUT:-120}" "$binary" >"$log" 2>&1
    status=$?
    ms=$((($(date +%s%N) - began) / 1000000))
    # cmocka's closing lines: "[  PASSED  ] 12 test(s)." and "[  FAILED  ] 1 test(s), …".
    ok=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
    passed=$((passed + ok))
    if [ "$status" -ne 0 ] || [ "$ok" -eq 0 ]; then
        cat "$log"
        [ "$bad" -gt 0 ] || bad=1
        failed=$((failed + bad))
        echo "FAIL $name: $ok passed, $bad failed, exit status $status, $ms ms"
        break
    fi
    echo "ok   $name: $ok passed, $ms ms"
done
echo "$passed passed, $failed failed" | tee "$build/unit.result"
[ "$failed" -eq 0 ] && [ $# -eq 0 -o "$passed" -gt 0 ]
