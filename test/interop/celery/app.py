# SPDX-License-Identifier: Apache-2.0
"""The application under test: Celery as its own first page has it, and a task for each feature. What a task leaves behind
it writes as a line into a file below CELERY_MARKS, since a result may take another way than the work."""

import os
import signal
import time

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from kombu import Exchange, Queue
from kombu.common import Broadcast

MARKS = os.environ["CELERY_MARKS"]
RANKED = Queue("m_ranked", Exchange("m_ranked"), "m_ranked", queue_arguments={"x-max-priority": 9})
app = Celery("app", broker=os.environ["MATRIX_BROKER"], backend="rpc://")
app.conf.update(
    worker_send_task_events=True,
    task_send_sent_event=True,
    task_track_started=True,
    result_expires=900,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": bool(os.environ.get("MATRIX_CONFIRM"))},
    beat_schedule={"pulse": {"task": "app.note", "schedule": 0.4, "args": ("pulse", "beat")}},
)
if os.environ.get("MATRIX_QUORUM"):
    # The default queue as quorum queue: Celery then delays by 28 queues of the server instead of in the worker.
    app.conf.update(
        task_default_queue="m_quorum",
        task_default_exchange="m_quorum",
        task_default_exchange_type="topic",
        task_default_routing_key="m.quorum",
        task_default_queue_type="quorum",
    )
else:
    app.conf.task_queues = (Queue("celery"), Broadcast("m_all"), RANKED)
    app.conf.task_routes = {"app.heard": {"queue": "m_all", "exchange": "m_all"}}


def write(name, line="x"):
    with open(os.path.join(MARKS, name), "a") as out:
        out.write(f"{line}\n")


def marks(name):
    try:
        with open(os.path.join(MARKS, name)) as lines:
            return lines.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


@app.task
def times(a, b):
    return a * b


@app.task
def biggest(numbers):
    return max(numbers)


@app.task
def mirror(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task
def note(name, line="x"):
    write(name, line)
    return line


@app.task
def heard(name):
    write(name, os.getpid())


@app.task
def fails(text):
    raise LookupError(text)


@app.task
def failed(request, exc, traceback):
    write("failed", f"{request.id} {exc}")


@app.task(bind=True, max_retries=5)
def stubborn(self, name, tries, pause):
    write(name, self.request.retries)
    if self.request.retries + 1 < tries:
        raise self.retry(countdown=pause)
    return self.request.retries


@app.task(autoretry_for=(LookupError,), retry_backoff=1, retry_jitter=False, max_retries=2)
def backs_off(name):
    write(name, time.time())
    raise LookupError(name)


@app.task
def sleeps(seconds):
    time.sleep(seconds)
    return seconds


@app.task
def now(_=None):
    return time.time()


@app.task(soft_time_limit=1, time_limit=20)
def patient(name):
    try:
        time.sleep(15)
        write(name, "slept")
    except SoftTimeLimitExceeded:
        write(name, "stopped softly")


@app.task(time_limit=1)
def stopped(name):
    write(name, "began")
    time.sleep(4)
    write(name, "ended")


@app.task(acks_late=True, reject_on_worker_lost=True)
def dies_first(name):
    write(name)
    if len(marks(name)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(acks_late=True)
def ranked(level):
    write("ranked", level)
    time.sleep(0.05)


# For kills.py: a step of a chain that takes a while and says when it began and ended.
@app.task(acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def step(chain, number):
    write(f"chain-{chain}", f"began {number}")
    time.sleep(0.7)
    write(f"chain-{chain}", f"ended {number}")
