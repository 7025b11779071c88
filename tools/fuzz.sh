#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target for a while: tools/fuzz.sh BUILD_DIR SECONDS. As many at once as there are
# cores. New inputs stay in the build directory; the committed corpus (test/fuzz/corpus/NAME) is
# only read. A crash leaves its input in BUILD_DIR/crash-NAME-… and fails the run.
set -u
cd "$(dirname "$0")/.."

one() {
    local build=$1 seconds=$2 target=$3 name corpus found log runs inputs
    name=$(basename "$target" _fuzz)
    corpus=test/fuzz/corpus/$name
    found=$build/found/$name
    log=$build/fuzz-$name.log
    mkdir -p "$found"
    inputs=("$found")
    [ -d "$corpus" ] && inputs+=("$corpus")
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/crash-$name-" "${inputs[@]}" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok   $name: ${runs:-?} inputs in $seconds s, corpus $(find "$corpus" -type f 2>/dev/null | wc -l)"
    else
        flock "$build/fuzz.lock" -c "grep -vE '^#[0-9]+' '$log' | tail -60; echo 'FAIL $name: see $log'"
        return 1
    fi
}

if [ "$1" = --one ]; then
    one "$2" "$3" "$4"
    exit $?
fi
build=$1
seconds=$2
targets=$(find "$build/fuzz" -name '*_fuzz' -type f 2>/dev/null | sort)
results=$(mktemp)
trap 'rm -f "$results"' EXIT
# shellcheck disable=SC2086 # names without spaces
printf '%s\n' $targets | xargs -r -n 1 -P "$(nproc 2>/dev/null || echo 2)" "$0" --one "$build" "$seconds" | tee "$results"
passed=$(grep -c '^ok   ' "$results")
failed=$(($(echo "$targets" | grep -c .) - passed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
