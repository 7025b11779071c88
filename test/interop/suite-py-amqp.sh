#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# py-amqp's own integration tests but those of TLS, from the source package; most of them play the server themselves.
. "$(dirname "$0")/suite.sh"

python_suite amqp==5.4.2 amqp==5.4.2 pytest==8.4.2 pytest-rerunfailures==15.1 pytest-timeout==2.4.0
cd "$src" || exit 1
RABBITMQ_HOST=${address%:*} RABBITMQ_5672_TCP=${address##*:} timeout -k 10 600 "$venv/bin/python" -m pytest -q -p no:cacheprovider \
    --timeout 120 --junitxml "$work/run.xml" -k 'not tls' t/integration >"$work/run.log" 2>&1
verdicts "$work/run.xml" >"$seen" 2>>"$work/run.log"
judge "py-amqp 5.4.2, t/integration without TLS"
