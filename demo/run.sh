#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make demo: builds the demo beside the server and runs it in a directory of its own, which is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh demo
mkdir -p build/demo
cc -O2 -g -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -o build/demo/demo demo/*.c -lrdkafka -lz -lpthread
dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-demo.XXXXXX")
trap 'rm -rf "$dir"' EXIT
build/demo/demo "$PWD/weir" "$dir" "${RECORDS:-2000000}"
