#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# No acknowledgement before its durable write: acks.sh [DIR]. The server runs under strace, acks.py sends records with a
# mark in each and then looks for every mark in what was written before the answer's first byte went out. Needs leave to
# trace, which some containers do not give: then it is not run, and says so.
set -uo pipefail
cd "$(dirname "$0")/../.."
command -v strace >/dev/null && command -v python3 >/dev/null || { echo 'NOT RUN acks: no strace or no python3'; exit 77; }
strace -o /dev/null true 2>/dev/null || { echo 'NOT RUN acks: tracing is not allowed here'; exit 77; }
mkdir -p build/crash
work=$(realpath "$(mktemp -d "${1:-build/crash}/acks.XXXXXX")")
if WEIR_TEST_DIR=$work python3 test/crash/acks.py; then
    rm -rf "$work"
else
    echo "what is left is in $work"
    exit 1
fi
