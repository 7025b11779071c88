#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make demo: builds the demo beside the server and runs it in a directory of its own, which is removed at the end.
# The second act wants Celery, which comes from PyPI into demo/.cache, once; where that cannot be it is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup.sh demo
mkdir -p build/demo
cc -O2 -g -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -o build/demo/demo demo/*.c -lrdkafka -lz -lpthread

celery=demo/.cache/celery
celery_install() {
    [ -e "$celery/ready" ] && return
    echo 'installing Celery for the second act'
    bash tools/setup.sh tasks || { echo 'Python is not here'; return 1; }
    rm -rf "$celery"
    python3 -m venv "$celery" && "$celery/bin/pip" -q --disable-pip-version-check install celery==5.6.3 kombu==5.7.0 pillow && touch "$celery/ready"
}
python=
if celery_install; then python=$celery/bin/python; else echo 'the second act, with Celery, is left out'; fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/weir-demo.XXXXXX")
trap 'rm -rf "$dir"' EXIT
build/demo/demo play "$PWD/weir" "$dir" "${RECORDS:-2000000}" "$python"
