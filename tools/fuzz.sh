#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target for a while: tools/fuzz.sh BUILD_DIR SECONDS. New inputs stay in the build
# directory; the committed corpus (test/fuzz/corpus/NAME) is only read. A crash leaves its input in
# BUILD_DIR/crash-NAME-… and fails the run.
set -u
cd "$(dirname "$0")/.."

build=$1
seconds=$2
passed=0
failed=0
for target in $(find "$build/fuzz" -name '*_fuzz' -type f 2>/dev/null | sort); do
    name=$(basename "$target" _fuzz)
    corpus=test/fuzz/corpus/$name
    found=$build/found/$name
    mkdir -p "$found"
    inputs=("$found")
    [ -d "$corpus" ] && inputs+=("$corpus")
    log=$build/fuzz-$name.log
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/crash-$name-" "${inputs[@]}" >"$log" 2>&1; then
        passed=$((passed + 1))
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok   $name: ${runs:-?} inputs in $seconds s, corpus $(find "$corpus" -type f 2>/dev/null | wc -l)"
    else
        failed=$((failed + 1))
        grep -vE '^#[0-9]+' "$log" | tail -40
        echo "FAIL $name: see $log"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
