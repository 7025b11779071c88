#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What the committed fuzz corpus reaches: tools/coverage.sh BUILD_DIR. Each target names the sources
# that it is there for, in a line "// covers: src/room/x.c …" of its own source; of those the lines
# covered are shown, and less than COVERAGE_MIN percent (80) fails.
set -u
cd "$(dirname "$0")/.."

build=$1
minimum=${COVERAGE_MIN:-80}
passed=0
failed=0
for target in $(find "$build/fuzz" -name '*_fuzz' -type f 2>/dev/null | sort); do
    name=$(basename "$target" _fuzz)
    source=${target#"$build/fuzz/"}.c
    covers=$(sed -n 's|^// covers: ||p' "$source" | tr '\n' ' ')
    profile=$build/$name.profraw
    rm -f "$profile"
    if [ -z "$covers" ] || [ ! -d "test/fuzz/corpus/$name" ]; then
        echo "FAIL $name: no line \"// covers:\" in $source, or no test/fuzz/corpus/$name"
        failed=$((failed + 1))
        continue
    fi
    if ! LLVM_PROFILE_FILE=$profile "$target" -runs=0 "test/fuzz/corpus/$name" >"$build/$name.log" 2>&1; then
        tail -20 "$build/$name.log"
        failed=$((failed + 1))
        continue
    fi
    llvm-profdata merge -sparse -o "$build/$name.profdata" "$profile"
    # shellcheck disable=SC2086 # a list of files
    report=$(llvm-cov export -summary-only -instr-profile="$build/$name.profdata" "$target" $covers |
        grep -o '"totals":.*' | grep -o '"lines":{[^}]*}')
    percent=$(echo "$report" | sed -n 's/.*"percent":\([0-9]*\).*/\1/p')
    lines=$(echo "$report" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')
    if [ "${percent:-0}" -ge "$minimum" ]; then
        passed=$((passed + 1))
        echo "ok   $name: $percent % of $lines lines in $covers"
    else
        failed=$((failed + 1))
        echo "FAIL $name: ${percent:-no} % of ${lines:-?} lines in $covers(at least $minimum)"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
