#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Celery's own integration tests with rpc results, from the source package of 5.6.3; about 20 minutes. Each file is a
# process of its own: the workers that some tests start inside pytest leave marks behind that fail the next file's. A few
# tests count in Redis; one is started for them and stopped at the end.
#
# Left out: test_backend.py (wants a cloud's library to be imported), and the xfail tests test_…_replaced_with_chain…, which
# wait 60 s each. SUITE_FILES="test_tasks test_inspect" selects.
. "$(dirname "$0")/suite.sh"

need redis-server redis-server
python_suite celery==5.6.3 celery==5.6.3 kombu==5.6.2 amqp==5.3.1 'redis<6.5' pytest==8.4.2 pytest-celery==1.3.0 pytest-rerunfailures==15.1 \
    pytest-subtests==0.14.2 pytest-timeout==2.4.0 pytest-click==1.1.0 pytest-order==1.3.0 msgpack pyyaml cryptography pydantic django
cd "$src" || exit 1
port=$((20000 + RANDOM % 10000))
redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$work" >"$work/redis.log" 2>&1 &
redis=$!
trap 'kill $redis 2>/dev/null' EXIT
export PATH=$venv/bin:$PATH TEST_BROKER=pyamqp://guest:guest@$address// TEST_BACKEND=rpc:// REDIS_HOST=127.0.0.1 REDIS_PORT=$port PYTHONDONTWRITEBYTECODE=1
rm -f "$work"/*.xml
for file in t/integration/test_*.py; do
    name=$(basename "$file" .py)
    [ "$name" != test_backend ] || continue
    case " ${SUITE_FILES:-$name} " in *" $name "*) ;; *) continue ;; esac
    timeout -k 20 900 python -m pytest -p no:cacheprovider -v --timeout=120 --junitxml "$work/$name.xml" \
        -k 'not (replaced_with_chain and (task_replaced or child_replaced))' "$file" >"$work/$name.log" 2>&1 </dev/null
    echo "$name ended with $?" >>"$work/run.log"
done
verdicts "$work"/test_*.xml 2>>"$work/run.log" | sed 's/^t\.integration\.//' >"$seen"
if [ -n "${SUITE_FILES:-}" ]; then
    grep -E "^(${SUITE_FILES// /|})[. ]" "$table" >"$work/table.tsv"
    table=$work/table.tsv
fi
judge "celery 5.6.3, t/integration"
