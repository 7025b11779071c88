# SPDX-License-Identifier: Apache-2.0
"""Celery publishing with confirms: what a program that calls .delay() all the time gets.

celery_publish.py BROKER-URL SECONDS: figures as the other load generators print them. Python takes about half of the
time, on any server, so the ratio between two servers is smaller than that of the servers.
"""
import sys
import time

from celery import Celery

broker, seconds = sys.argv[1], float(sys.argv[2])
app = Celery("bench", broker=broker)
app.conf.update(
    task_default_queue="bench-celery",
    task_ignore_result=True,
    broker_transport_options={"confirm_publish": True},
)


@app.task(name="bench.nothing")
def nothing(*_args):
    """Never run: no worker listens."""


nothing.delay(0)  # connects and declares
took = []
end = time.monotonic() + seconds
while (start := time.monotonic()) < end:
    nothing.delay(len(took), "some words as an argument")
    took.append(time.monotonic() - start)
took.sort()
for name, value in (
    ("messages_per_s", len(took) / sum(took)),
    ("samples", len(took)),
    ("p50_ms", took[len(took) // 2] * 1e3),
    ("p99_ms", took[len(took) * 99 // 100] * 1e3),
    ("max_ms", took[-1] * 1e3),
):
    print(f"{name}\t{value:.6g}")
