#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `make check`: style is a test. Every step runs even when one fails, so that one run tells
# everything; the closing line counts steps. Compilation with all warnings is a step as well, with
# both compilers, since each knows warnings that the other lacks.
set -u
cd "$(dirname "$0")/.."

jobs=$(nproc 2>/dev/null || echo 2)
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

step() {
    local name=$1 began status
    shift
    began=$(date +%s%N)
    "$@" >"$log" 2>&1
    status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok   $name, $((($(date +%s%N) - began) / 1000000)) ms$(grep -h '^tidy:' "$log" | sed 's/^tidy:/ —/')"
    else
        failed=$((failed + 1))
        grep -vE '^(  cc |  link |make\[)' "$log" | head -"${CHECK_LINES:-60}"
        echo "FAIL $name"
    fi
}

step "formatting (clang-format)" make check-format
step "generated tables" make -j"$jobs" check-gen
step "layers, bans, lengths (tools/tidy)" make check-style
step "warnings (gcc)" make -k -j"$jobs" all WERROR=-Werror
step "warnings (clang)" make -k -j"$jobs" all CC=clang WERROR=-Werror
step "headers compile alone" make -k -j"$jobs" check-headers
step "analysis (gcc -fanalyzer)" make -k -j"$jobs" check-fanalyzer
step "analysis (clang-tidy)" make -k -j"$jobs" check-clang-tidy

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
