#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kombu's own integration tests of its AMQP transport, from the source package.
. "$(dirname "$0")/suite.sh"

python_suite kombu==5.6.2 kombu==5.6.2 amqp==5.3.1 pytest==8.4.2 pytest-rerunfailures==15.1 pytest-timeout==2.4.0
cd "$src" || exit 1
RABBITMQ_HOST=${address%:*} RABBITMQ_5672_TCP=${address##*:} timeout -k 10 900 "$venv/bin/python" -m pytest -q -p no:cacheprovider \
    --timeout 120 --junitxml "$work/run.xml" t/integration/test_py_amqp.py >"$work/run.log" 2>&1
verdicts "$work/run.xml" >"$seen" 2>>"$work/run.log"
judge "kombu 5.6.2, t/integration"
