# SPDX-License-Identifier: Apache-2.0
"""Flower beside a worker: its pages answer, its list of queues comes from the server by the one management call that it
makes, and what it shows of workers and tasks comes by events. pages.py HOST:PORT-OF-HTTP"""

import base64
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import app as tasks

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.environ["CELERY_WORK"]
MANAGEMENT = sys.argv[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()


def start(*words):
    log = open(os.path.join(WORK, f"flower-{words[0]}.log"), "a")
    env = {**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"}
    return subprocess.Popen([sys.executable, "-m", "celery", "-A", "app", *words], cwd=HERE, env=env, stdout=log, stderr=log)


def page(path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
            return answer.read().decode()
    except (OSError, urllib.error.URLError):
        return ""


def until(condition, what, seconds=40):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, f"{what}: not within {seconds} s"
        time.sleep(0.3)


def main():
    worker = start("worker", "-l", "INFO", "-c", "1", "-n", "seen@matrix", "-Q", "celery", "-E")
    management = f"--broker_api=http://guest:guest@{MANAGEMENT}/api/"
    flower = start("flower", "--address=127.0.0.1", f"--port={PORT}", management)
    try:
        until(lambda: "seen@matrix" in page("/workers"), "the worker is shown")
        result = tasks.times.delay(6, 7)
        assert result.get(timeout=30) == 42
        until(lambda: result.id in page("/api/tasks"), "the task is shown")
        for path in ("/", "/workers", "/tasks", "/broker", "/metrics", "/healthcheck", f"/task/{result.id}"):
            assert page(path), f"{path} does not answer"
        until(lambda: ">celery<" in "".join(page("/broker").split()), "the queue is shown")
        call = urllib.request.Request(f"http://{MANAGEMENT}/api/queues/")
        call.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        with urllib.request.urlopen(call, timeout=10) as answer:
            assert b'"celery"' in answer.read()
    finally:
        for process in (flower, worker):
            process.terminate()
        for process in (flower, worker):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


main()
