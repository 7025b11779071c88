#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `make test`: packages, build, unit tests, then the suites that test/TESTS names, each an executable
# test/NAME/run.sh. All of them run even when one fails. A suite whose last line reads "N passed,
# N failed" is counted so, any other as one test by its exit status; what did not run is told apart
# and never counted as passed. The closing line adds everything up.
set -u
cd "$(dirname "$0")/.."

tools/setup.sh build test || exit $?
jobs=$(nproc 2>/dev/null || echo 2)
make -j"$jobs" all || exit 1

passed=0
failed=0
failures=()

# Adds a closing line "N passed, N failed" found in file $2; $3 is the exit status.
count() {
    local name=$1 file=$2 status=$3 line ok bad
    line=$(tail -1 "$file" | grep -oE '^[0-9]+ passed, [0-9]+ failed' || true)
    ok=$(echo "$line" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
    bad=$(echo "$line" | sed -n 's/.*, \([0-9]*\) failed$/\1/p')
    [ -n "$ok" ] || { ok=$((status == 0)) && bad=$((status != 0)); }
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + ok))
    failed=$((failed + bad))
    [ "$bad" -eq 0 ] || failures+=("$name")
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
make -j"$jobs" unit 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
# A compiler error leaves no closing line, and make adds its own behind a failing one.
grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" >"$log.last"
count unit "$log.last" "$status"
rm -f "$log.last"

while read -r name _; do
    case $name in '' | '#'*) continue ;; esac
    echo "== test/$name"
    if [ ! -x "test/$name/run.sh" ]; then
        echo "test/$name/run.sh is not there or not executable"
        echo 1 >"$log"
        status=1
    else
        "test/$name/run.sh" 2>&1 </dev/null | tee "$log"
        status=${PIPESTATUS[0]}
    fi
    count "$name" "$log" "$status"
done < <(cat test/TESTS 2>/dev/null)

[ ${#failures[@]} -eq 0 ] || echo "failed: ${failures[*]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
