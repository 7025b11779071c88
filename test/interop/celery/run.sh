#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What Celery offers, release by release: an application (app.py) with a worker of its own (prefork, two processes) and rpc
# results, and a check per feature (checks.py). INTEROP_NAME says which release: celery-4.4 … celery-5.7. celery-kills is
# kills.py: worker and server are killed while chains run. celery-flower is pages.py; INTEROP_HTTP is the server's HOST:PORT.
. "$(dirname "$0")/../lib.sh"

release=${INTEROP_NAME#celery-}
case $release in
kills) release=5.6 ;;
flower)
    [ -n "${INTEROP_HTTP:-}" ] || notrun 'the address of the HTTP door is not known'
    release=5.7-flower
    ;;
esac
python=python3
case $release in
4.4) pins='celery==4.4.7 kombu==4.6.11 amqp==2.6.1 vine==1.3.0 billiard==3.6.3.0 setuptools<58 importlib-metadata<5' ;;
5.2) pins='celery==5.2.7 kombu==5.7.0 amqp==5.4.2 billiard==3.6.4.0' ;;
5.3) pins='celery==5.3.6 kombu==5.7.0 amqp==5.4.2' ;;
5.4) pins='celery==5.4.0 kombu==5.7.0 amqp==5.4.2' ;;
5.5) pins='celery==5.5.3 kombu==5.5.4 amqp==5.4.2' ;;
5.6) pins='celery==5.6.3 kombu==5.7.0 amqp==5.4.2' ;;
5.7) pins='celery==5.7.0 kombu==5.7.0 amqp==5.4.2' ;;
5.7-flower) pins='celery==5.7.0 kombu==5.7.0 amqp==5.4.2 flower==2.0.1' ;;
*) notrun "no such release: $release" ;;
esac
if [ "$release" = 4.4 ]; then # imports what Python dropped after 3.10; its pins are of the time of 3.8
    python=
    for candidate in "${PYTHON38:-python3.8}" "$HOME"/.pyenv/versions/3.8.*/bin/python; do
        if "$candidate" --version >/dev/null 2>&1; then python=$candidate; fi
    done
    [ -n "$python" ] || notrun 'Celery 4.4 wants a Python 3.8 (PYTHON38=...)'
fi
need "$python" python3
venv=$cache/celery-$release
if [ ! -f "$venv/ready" ]; then
    # shellcheck disable=SC2086
    { rm -rf "$venv" && "$python" -m venv "$venv" && "$venv/bin/pip" install -q $pins && touch "$venv/ready"; } >"$work/install.log" 2>&1 ||
        notrun "pip could not install it: $(tail -1 "$work/install.log")"
fi
export PYTHONDONTWRITEBYTECODE=1 CELERY_MARKS=$work/marks CELERY_WORK=$work
rm -rf "$CELERY_MARKS"
mkdir -p "$CELERY_MARKS"
export MATRIX_BROKER=amqp://guest:guest@$address/
if [ "$INTEROP_NAME" = celery-kills ]; then
    CHECK_TIMEOUT=300 check 'chains with acks_late, worker and server killed mid-task: nothing is lost' "$venv/bin/python" "$client_dir/kills.py"
    exit
fi
if [ "$INTEROP_NAME" = celery-flower ]; then
    check 'Flower: pages, workers and tasks by events, queues by its management call' "$venv/bin/python" "$client_dir/pages.py" "$INTEROP_HTTP"
    exit
fi
timeout -k 20 900 "$venv/bin/python" "$client_dir/checks.py" 2>"$work/checks.err"
rc=$?
[ $rc != 124 ] || fail 'checks.py' 'no end after 900 s'
[ $rc = 0 ] || [ $rc = 124 ] || fail 'checks.py' "ended with $rc: $(tail -1 "$work/checks.err")"
