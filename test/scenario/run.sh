#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Scenarios over real sockets and real files, in python3's standard library: run.sh [NAME]… (strangers.py, amqp_strangers.py, host.py, commands.py).
set -uo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build/scenario
work=$(mktemp -d "$PWD/build/scenario/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "${WEIR:-./weir}" "$work/weir" || exit 1
WEIR=$work/weir WEIR_TEST_DIR=$work python3 test/scenario/run.py "$@"
