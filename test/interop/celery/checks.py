# SPDX-License-Identifier: Apache-2.0
"""One check per feature of Celery, in lines as lib.sh has them. checks.py [NAME...]: all, or some.

Checks that make the pool replace a process, or a task retry, come last: after that Celery itself loses results on their
way through rpc (5.6 after a retry; real RabbitMQ shows the same), so those look at marks only."""

import os
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import app as tasks
import celery
from app import RANKED, app, marks
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from kombu import Connection, Exchange, Queue

VERSION = tuple(int(part) for part in celery.__version__.split(".")[:2])
HERE = os.path.dirname(os.path.abspath(__file__))
ONE = "one@matrix"
CHECKS = []
WAIT = 40


class Skip(Exception):
    pass


def check(words, last=False):
    def add(run):
        CHECKS.append((last, run.__name__, words, run))
        return run

    return add


def until(condition, seconds=WAIT):
    end = time.time() + seconds
    while not (got := condition()):
        assert time.time() < end, f"not within {seconds} s"
        time.sleep(0.05)
    return got


def command(*words, **env):
    log = open(os.path.join(os.environ["CELERY_WORK"], words[0] + ".log"), "a")
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "app"] + list(words), cwd=HERE, env={**os.environ, **env}, stdout=log, stderr=log
    )


class Worker:
    """A worker that answers inside the with, and is asked to end after it."""

    def __init__(self, name, *words, **env):
        # Every queue but the ranked one, which has a worker of its own.
        self.name, self.status = name, None
        self.process = command("worker", "-l", "INFO", "-n", name, *(words or ("-c", "2", "-Q", "celery,m_all")), **env)

    def __enter__(self):
        until(lambda: app.control.ping(destination=[self.name], timeout=1), 90)
        return self

    def __exit__(self, *_):
        if self.status is None:
            self.process.terminate()
        try:
            self.status = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("no warm shutdown in 40 s")


def ran(result, want):
    got = result.get(timeout=WAIT)
    assert got == want, f"{got!r}, expected {want!r}"


def revoked(result):
    try:
        got = result.get(timeout=WAIT)
    except TaskRevokedError:
        return
    raise AssertionError(f"it ran: {got!r}")


@check("a task and its result")
def task():
    ran(tasks.times.delay(6, 7), 42)
    ran(app.send_task("app.times", (2, 3)), 6)


@check("arguments: 100,000 letters of many alphabets, nested values, None")
def payload():
    text = "Grüße 世界 \U0001f30d " * 7700
    value = {"deep": [{"none": None, "numbers": [0, -1, 2.5, 1 << 50]}, [], {}], "text": text}
    ran(tasks.mirror.delay(1, value, again=value), {"args": [1, value], "kwargs": {"again": value}})


@check("500 tasks, every result")
def many():
    results = [tasks.times.delay(n, 2) for n in range(500)]
    assert [r.get(timeout=WAIT) for r in results] == [2 * n for n in range(500)]


@check("an exception comes back")
def failure():
    result = tasks.fails.delay("lost")
    try:
        result.get(timeout=WAIT)
    except LookupError as error:
        assert "lost" in str(error) and result.state == "FAILURE" and "LookupError" in result.traceback
        return
    raise AssertionError("no exception")


@check("retry: the same task again, after its countdown", last=True)
def retry():
    tasks.stubborn.delay("stubborn", 3, 1)
    until(lambda: marks("stubborn") == ["0", "1", "2"])


@check("autoretry with backoff, up to max_retries", last=True)
def autoretry():
    tasks.backs_off.delay("backs_off")
    at = until(lambda: len(marks("backs_off")) == 3 and [float(m) for m in marks("backs_off")])
    assert at[1] - at[0] > 0.8 and at[2] - at[1] > 1.7, at


@check("countdown")
def countdown():
    begin = time.time()
    waited = tasks.now.apply_async(countdown=2).get(timeout=WAIT) - begin
    assert 1.9 < waited < 8, waited


@check("60 tasks with ETA, more than the prefetch window, do not stand in others' way")
def eta():
    begin = time.time()
    parked = [tasks.now.apply_async(countdown=5) for _ in range(60)]
    assert tasks.times.delay(1, 1).get(timeout=4) == 1
    waited = [r.get(timeout=WAIT) - begin for r in parked]
    assert min(waited) > 4.8, min(waited)


@check("expires")
def expires():
    revoked(tasks.times.apply_async((1, 1), countdown=2, expires=1))


@check("revoke")
def revoke():
    result = tasks.times.apply_async((1, 1), countdown=3)
    app.control.revoke(result.id)
    revoked(result)


@check("inspect: eleven verbs")
def inspect():
    ask = app.control.inspect(destination=[ONE], timeout=3)
    later = tasks.times.apply_async((1, 1), countdown=60)
    until(lambda: later.id in str(ask.scheduled()))
    for verb in "ping stats registered active reserved scheduled revoked active_queues conf report clock".split():
        assert ONE in (getattr(ask, verb)() or {}), verb
    running = tasks.sleeps.delay(2)
    until(lambda: running.id in str(ask.query_task(running.id)))
    assert "app.times" in ask.registered()[ONE] and "celery" in str(ask.active_queues())
    app.control.revoke(later.id)


@check("control: eight verbs, a queue added and taken away", last=True)
def control():
    def tell(verb, *args, **kwargs):
        answer = getattr(app.control, verb)(*args, reply=True, timeout=5, destination=[ONE], **kwargs)
        assert answer and "ok" in answer[0][ONE], (verb, answer)

    tell("rate_limit", "app.note", "50/s")
    tell("time_limit", "app.note", soft=30, hard=40)
    tell("pool_grow", 1)
    tell("pool_shrink", 1)
    tell("disable_events")
    tell("enable_events")
    tell("add_consumer", "m_added")
    ran(tasks.times.apply_async((3, 5), queue="m_added"), 15)
    tell("cancel_consumer", "m_added")
    tell("rate_limit", "app.note", 0)


@check("purge")
def purge():
    with app.connection_for_write() as connection:
        queue = Queue("m_purged", Exchange("m_purged"), "m_purged")(connection.default_channel)
        queue.declare()
        for _ in range(11):
            tasks.times.apply_async((1, 1), queue=queue, connection=connection)
        until(lambda: queue.queue_declare(passive=True).message_count == 11)
        assert queue.purge() == 11
        queue.delete()


@check("rate limit")
def rate_limit():
    app.control.rate_limit("app.now", "2/s", reply=True, timeout=3)
    at = sorted(r.get(timeout=WAIT) for r in [tasks.now.delay() for _ in range(7)])
    app.control.rate_limit("app.now", 0, reply=True, timeout=3)
    assert at[-1] - at[0] > 2, at[-1] - at[0]


@check("soft time limit")
def soft_limit():
    tasks.patient.delay("softly")
    until(lambda: marks("softly") == ["stopped softly"])


@check("chain")
def chains():
    ran(chain(tasks.times.s(2, 3), tasks.times.s(4), tasks.times.s(5))(), 120)


@check("group")
def groups():
    ran(group(tasks.times.s(n, n) for n in range(25))(), [n * n for n in range(25)])


@check("map, starmap, chunks")
def maps():
    ran(tasks.biggest.map([[1, 2], [4, 3]]).delay(), [2, 4])
    ran(tasks.times.starmap([(2, 3), (4, 5)]).delay(), [6, 20])
    ran(tasks.times.chunks([(n, 3) for n in range(5)], 2)(), [[0, 3], [6, 9], [12]])


@check("link and link_error")
def links():
    tasks.times.apply_async((4, 5), link=tasks.note.si("linked"))
    until(lambda: marks("linked"))
    result = tasks.fails.apply_async(("wrong",), link_error=tasks.failed.s())
    until(lambda: marks("failed") == [f"{result.id} wrong"])


@check("chord")
def chords():
    try:
        ran(chord([tasks.times.s(n, 2) for n in range(9)])(tasks.biggest.s()), 16)
    except NotImplementedError:
        raise Skip("Celery has no chords with rpc results and says so itself")


@check("events of tasks and workers")
def events():
    seen = set()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": lambda event: seen.add(event["type"])})

        def listen():
            try:
                receiver.capture(limit=None, timeout=20, wakeup=True)
            except Exception:
                pass  # what matters was seen or was not

        threading.Thread(target=listen, daemon=True).start()
        time.sleep(1)
        tasks.times.delay(1, 1).get(timeout=WAIT)
        want = {"task-sent", "task-received", "task-started", "task-succeeded", "worker-heartbeat"}
        try:
            until(lambda: want <= seen, 15)
        except AssertionError:
            raise AssertionError(f"missing: {want - seen}")
        receiver.should_stop = True
        time.sleep(1.2)


@check("broadcast to two workers, mingle and gossip between them")
def broadcast():
    with Worker("two@matrix"):
        assert {name for answer in app.control.ping(timeout=3) for name in answer} == {ONE, "two@matrix"}
        tasks.heard.delay("heard")
        until(lambda: len(marks("heard")) == 2)
        time.sleep(0.5)
        assert len(marks("heard")) == 2


@check("priorities: what waits in a queue runs by rank")
def priority():
    levels = [2, 9, 0, 5, 7, 2, 9]
    for level in levels:
        tasks.ranked.apply_async((level,), queue=RANKED, priority=level)
    with Worker("ranked@matrix", "-Q", "m_ranked", "-c", "1", "--prefetch-multiplier", "1", "--without-mingle", "--without-gossip"):
        until(lambda: len(marks("ranked")) == len(levels))
    got = [int(level) for level in marks("ranked")]
    assert sorted(got[1:], reverse=True) == got[1:], got  # what comes first may come before the others are there
    with Connection(os.environ["MATRIX_BROKER"]) as connection:
        RANKED(connection.default_channel).delete()


@check("publisher confirms")
def confirms():
    with Connection(os.environ["MATRIX_BROKER"], transport_options={"confirm_publish": True}) as connection:
        queue = Queue("m_confirmed", Exchange("m_confirmed"), "m_confirmed")(connection.default_channel)
        queue.declare()
        for n in range(100):
            tasks.times.apply_async((n, n), queue=queue, connection=connection)
        assert queue.queue_declare(passive=True).message_count == 100
        queue.delete()


@check("beat")
def beat():
    process = command("beat", "-l", "INFO", "-s", os.path.join(os.environ["CELERY_WORK"], "schedule"))
    try:
        until(lambda: len(marks("pulse")) >= 4)
    finally:
        process.terminate()
        process.wait(20)


@check("command line: status, inspect, call, result, purge")
def cli():
    def say(*words):
        run = subprocess.run([sys.executable, "-m", "celery", "-A", "app", *words], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert run.returncode == 0, run.stdout.decode()[-200:]
        return run.stdout.decode()

    assert ONE in say("status")
    assert "pong" in say("inspect", "ping")
    say("call", "app.note", "--args", '["called", "by hand"]')
    until(lambda: marks("called") == ["by hand"])
    say("purge", "-f", "-Q", "m_added")


@check("warm shutdown: what was begun is finished")
def warm_shutdown():
    with Worker("warm@matrix", "-c", "1", "-Q", "m_warm") as worker:
        result = tasks.sleeps.apply_async((3,), queue="m_warm")
        until(lambda: result.id in str(app.control.inspect([worker.name], timeout=1).active()))
        worker.process.terminate()
        worker.status = worker.process.wait(40)
        assert worker.status == 0, worker.status
        ran(result, 3)


@check("quorum queue by default, delays by the server's queues, retry", last=True)
def quorum():
    if VERSION < (5, 5):
        raise Skip("came with Celery 5.5")
    code = (
        "import time, app; begin = time.time(); app.note.apply_async(('late', 'x'), countdown=3); app.stubborn.delay('quorum', 2, 1);"
        "app.note.delay('soon')"
    )
    with Worker("quorum@matrix", "-c", "2", "-Q", "m_quorum", MATRIX_QUORUM="1"):
        begin = time.time()
        subprocess.run([sys.executable, "-c", code], cwd=HERE, env={**os.environ, "MATRIX_QUORUM": "1"}, check=True, timeout=60)
        until(lambda: marks("soon") and marks("late"))
        at = {name: os.path.getmtime(os.path.join(tasks.MARKS, name)) - begin for name in ("soon", "late")}
        assert at["late"] > max(2.5, at["soon"]) and at["late"] < 12, at
        until(lambda: marks("quorum") == ["0", "1"])


@check("revoke with terminate", last=True)
def terminate():
    result = tasks.sleeps.delay(90)
    until(lambda: result.id in str(app.control.inspect(timeout=1).active()))
    app.control.revoke(result.id, terminate=True)
    revoked(result)


@check("hard time limit: the process is replaced, the worker goes on", last=True)
def hard_limit():
    tasks.stopped.delay("stopped")
    until(lambda: marks("stopped"))
    time.sleep(5)
    assert marks("stopped") == ["began"]
    tasks.note.delay("after")
    until(lambda: marks("after"))


@check("a process lost with acks_late: the task comes again", last=True)
def worker_lost():
    tasks.dies_first.delay("dies")
    until(lambda: len(marks("dies")) == 2, 60)


def line(*words):
    print(*[" ".join(str(word).split())[:300] for word in words], sep="\t", flush=True)


def run(name, words, function):
    try:
        function()
        line("PASS", words)
    except Skip as why:
        line("SKIP", words, why)
    except Exception as error:
        print(f"== {name}", file=sys.stderr)
        traceback.print_exc()
        line("FAIL", words, f"{type(error).__name__}: {error}")


def main():
    wanted = sys.argv[1:]
    with Worker(ONE) as one:
        for _, name, words, function in sorted(CHECKS, key=lambda entry: entry[0]):
            if not wanted or name in wanted:
                run(name, words, function)
    if one.status == 0:
        line("PASS", "the worker ends with 0 when asked to")
    else:
        line("FAIL", "the worker ends with 0 when asked to", f"status {one.status}")


main()
