#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Each planted bug (src/base/bugs.h) must be found by a checker within 200 seeds. A process that dies
# has found nothing: its last line is not the one asked for.
set -u
cd "$(dirname "$0")/../.."

bugs=$(sed -n 's/^ *X([A-Z_]*, "\([a-z-]*\)",.*/\1/p' src/base/bugs.h)
[ -n "$bugs" ] || { echo "FAILED: src/base/bugs.h names no bug" && exit 1; }
status=0
for bug in $bugs; do
    out=$(timeout 120 ./weir sim --seeds 200 --bug "$bug" 2>&1 | tail -2)
    last=$(tail -1 <<<"$out")
    if [[ $last =~ ^bug\ $bug\ found\ by\ seed\ [0-9]+\ of\ 200$ ]]; then
        echo "$last: $(head -1 <<<"$out" | cut -c3-160)"
    else
        echo "FAILED: bug $bug: $last"
        status=1
    fi
done
exit $status
