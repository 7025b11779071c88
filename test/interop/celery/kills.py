# SPDX-License-Identifier: Apache-2.0
"""Chains of tasks with acks_late, published with confirms, on a server and a worker of this script's own; both are killed
with -9 while steps run, twice, and started again. Every step of every chain must have ended at least once, in order;
what was done twice is said. KILLS_PEER=rabbitmq does it to real RabbitMQ, whose confirms need no faith in weir."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.environ["CELERY_WORK"]
PEER = os.environ.get("KILLS_PEER", "weir")
CHAINS, STEPS, KILLS = 6, 5, 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
os.environ["MATRIX_BROKER"] = f"amqp://guest:guest@127.0.0.1:{PORT}/"
os.environ["MATRIX_CONFIRM"] = "1"  # a confirm says that the server has it; without, a kill may take the last messages along
sys.path.insert(0, HERE)
import app as tasks
from app import marks
from celery import chain


class Weir:
    def start(self):
        weir = os.environ.get("WEIR", os.path.join(HERE, "..", "..", "..", "weir"))
        words = ["serve", "--data", os.path.join(WORK, "data"), "--amqp", f"127.0.0.1:{PORT}", "--kafka", "127.0.0.1:0"]
        log = open(os.path.join(WORK, "server.log"), "a")
        self.process = subprocess.Popen([weir, *words], stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class RabbitMQ:
    script = os.path.join(HERE, "..", "rabbitmq.sh")
    run = os.path.join(WORK, "rabbitmq")

    def start(self):
        subprocess.run([self.script, "start", self.run, str(PORT)], check=True)

    def kill(self):
        with open(os.path.join(self.run, "pid")) as pid:
            os.kill(int(pid.read()), signal.SIGKILL)
        subprocess.run([self.script, "stop", self.run], check=True)

    def stop(self):
        subprocess.run([self.script, "stop", self.run], check=True)


def until(condition, seconds):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, f"not within {seconds} s"
        time.sleep(0.05)


def answers():
    try:
        socket.create_connection(("127.0.0.1", PORT), 1).close()
        return True
    except OSError:
        return False


def start_worker():
    log = open(os.path.join(WORK, "kills-worker.log"), "a")
    words = ["-m", "celery", "-A", "app", "worker", "-l", "INFO", "-c", "2", "-n", "kills@matrix", "-Q", "celery"]
    # A session of its own: the worker and its processes are killed together.
    return subprocess.Popen([sys.executable, *words], cwd=HERE, stdout=log, stderr=log, start_new_session=True)


def kill_worker(worker):
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def ended(number):
    return [int(mark.split()[1]) for mark in marks(f"chain-{number}") if mark.startswith("ended")]


def progress():
    return sum(len(set(ended(number))) for number in range(CHAINS))


def busy():
    """A step is under way: it has begun and not ended."""
    return any(marks(f"chain-{number}")[-1:][:1] and marks(f"chain-{number}")[-1].startswith("began") for number in range(CHAINS))


def main():
    shutil.rmtree(os.path.join(WORK, "data"), ignore_errors=True)
    server = {"weir": Weir, "rabbitmq": RabbitMQ}[PEER]()
    server.start()
    until(answers, 60)
    worker = start_worker()
    try:
        for number in range(CHAINS):
            chain(*(tasks.step.si(number, at) for at in range(STEPS))).apply_async()
        for kill in range(KILLS):
            until(lambda: progress() >= (kill + 1) * CHAINS * STEPS // (KILLS + 2) and busy(), 90)
            time.sleep(random.random() * 0.6)
            server.kill()
            kill_worker(worker)
            server.start()
            until(answers, 60)
            worker = start_worker()
        until(lambda: progress() == CHAINS * STEPS, 90)
    finally:
        kill_worker(worker)
        server.stop()
    again = 0
    for number in range(CHAINS):
        first = [ended(number).index(at) for at in range(STEPS)]
        assert first == sorted(first), f"chain {number} out of order: {ended(number)}"
        again += len(ended(number)) - STEPS
    print(f"{CHAINS * STEPS} steps of {CHAINS} chains, {KILLS} kills: lost 0, done again {again}")


main()
