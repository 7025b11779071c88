# SPDX-License-Identifier: Apache-2.0
"""The second act: sends the shop's tasks, runs its worker, kills it once, has the server killed once, and counts.

act.py HOME BROKER-URL. To the program that has the server (demo/tasks.c) it speaks in lines: "say TEXT" for the one who
watches, "kill-server", and at the end "NAME VALUE" per figure.
"""
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

HOME, BROKER = sys.argv[1], sys.argv[2]
os.environ.update(SHOP_HOME=HOME, SHOP_BROKER=BROKER)

from mailbox import Mailbox  # noqa: E402

PICTURES, ORDERS, RESETS, REMINDERS = 160, 600, 240, 40
ARTICLES, STOCK = 20, 1000
RESETS_SECONDS = 8  # they come in while pictures wait


def say(text):
    print("say", text, flush=True)


def make_pictures():
    from PIL import Image, ImageChops, ImageFilter, ImageOps

    os.makedirs(f"{HOME}/pictures")
    os.makedirs(f"{HOME}/thumbs")
    for i in range(4):
        size = (1600, 1200)
        fractal = Image.effect_mandelbrot(size, (-2.2 + i * 0.3, -1.2, 1.2 - i * 0.5, 1.2), 60)
        colours = ImageOps.colorize(fractal, ("navy", "maroon", "darkgreen", "indigo")[i], "gold", "white")
        grain = Image.effect_noise(size, 40).convert("RGB").filter(ImageFilter.GaussianBlur(1))
        ImageChops.soft_light(colours, grain).save(f"{HOME}/pictures/{i}.jpg", quality=90)


def make_shop():
    with sqlite3.connect(f"{HOME}/shop.db") as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, article INTEGER, quantity INTEGER)")
        db.execute("CREATE TABLE stock (article INTEGER PRIMARY KEY, left INTEGER)")
        db.executemany("INSERT INTO stock VALUES (?, ?)", [(a, STOCK) for a in range(ARTICLES)])


class Worker:
    """Celery's own, with its defaults but for two processes; a group of its own, so that -9 reaches all of it."""

    def __init__(self):
        self.log = open(f"{HOME}/worker.log", "ab")
        self.start()

    def start(self):
        command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "--concurrency=2", "--loglevel=WARNING"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


class Sender(threading.Thread):
    """Counts a task as sent when the broker has confirmed it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sent, self.error, self.over = {}, "", False

    def send(self, task, *args, **options):
        self.sent[task.apply_async((*args, time.time()), **options).id] = task.name

    def run(self):
        try:
            self.run_all()
        except Exception as error:  # what was confirmed until then is still checked
            self.error = f"{type(error).__name__}: {error}"
        self.over = True

    def run_all(self):
        import shop

        for n in range(PICTURES):
            self.send(shop.resize, n, priority=1)
        for n in range(ORDERS):
            self.send(shop.fulfil, n, n % ARTICLES, 1 + n % 3, priority=5)
        for n in range(REMINDERS):
            self.send(shop.remind, f"customer{n}", priority=5, countdown=4 + n % 5)
        for n in range(RESETS):
            self.send(shop.reset_password, f"user{n}", priority=9)
            time.sleep(RESETS_SECONDS / RESETS)


class Done:
    """What the tasks themselves have written, read as it grows."""

    def __init__(self):
        self.at, self.runs, self.waits, self.ids, self.retried = 0, 0, {}, {}, 0

    def read(self):
        try:
            with open(f"{HOME}/done.tsv", encoding="ascii") as f:
                f.seek(self.at)
                text = f.read()
        except FileNotFoundError:
            return
        whole = text.rfind("\n") + 1
        self.at += whole
        for line in text[:whole].splitlines():
            task_id, name, retries, took = line.split("\t")
            self.runs += 1
            self.retried += int(retries) > 0
            if task_id not in self.ids and retries == "0":
                self.waits.setdefault(name, []).append(float(took))
            self.ids[task_id] = self.ids.get(task_id, 0) + 1


def play(sender, worker, done, mailbox):
    total = PICTURES + ORDERS + RESETS + REMINDERS
    kills = [(total // 4, "worker"), (total // 2, "server")]
    begin = told = news = time.monotonic()
    last = 0
    while time.monotonic() - news < 40:
        done.read()
        now = time.monotonic()
        if len(done.ids) != last:
            last, news = len(done.ids), now
        if kills and last >= kills[0][0]:
            _, who = kills.pop(0)
            say(f"kill -9 of the {who} after {last} tasks, and a new start")
            print(f"{who}_killed_at", last, flush=True)
            if who == "worker":
                worker.kill()
                worker.start()
            else:
                print("kill-server", flush=True)
        if sender.over and set(sender.sent) <= set(done.ids):
            break
        if now - told >= 0.5:
            told = now
            say(f"{now - begin:5.1f} s  tasks sent {len(sender.sent)}  done {last}  mails {len(mailbox.kept)}")
        time.sleep(0.05)
    return time.monotonic() - begin


def stock_is_right():
    with sqlite3.connect(f"{HOME}/shop.db") as db:
        orders = db.execute("SELECT count(*) FROM orders").fetchone()[0]
        left = db.execute("SELECT sum(left) FROM stock").fetchone()[0]
        ordered = db.execute("SELECT sum(quantity) FROM orders").fetchone()[0]
    return orders, left + (ordered or 0) == ARTICLES * STOCK


def main():
    say("making pictures and an empty shop")
    make_pictures()
    make_shop()
    mailbox = Mailbox()
    os.environ["SHOP_SMTP_PORT"] = str(mailbox.port)
    worker, sender, done = Worker(), Sender(), Done()
    sender.start()
    seconds = play(sender, worker, done, mailbox)
    say("Celery's worker stops")
    worker.stop()
    done.read()
    orders, right = stock_is_right()
    figures = {
        "sent": len(sender.sent),
        "done": len(set(sender.sent) & set(done.ids)),
        "lost": len(set(sender.sent) - set(done.ids)),
        "again": done.runs - len(done.ids),
        "retried": done.retried,
        "seconds": f"{seconds:.1f}",
        "pictures": len(os.listdir(f"{HOME}/thumbs")),
        "orders": orders,
        "stock_right": int(right),
        "mails": len(set(mailbox.kept)),
        "mails_again": len(mailbox.kept) - len(set(mailbox.kept)),
    }
    for name in ("reset_password", "fulfil", "resize"):
        waits = done.waits.get(f"shop.{name}")
        figures[f"wait_{name}_s"] = f"{statistics.median(waits):.2f}" if waits else "-"
    for name, value in figures.items():
        print(name, value)
    if sender.error:
        print("error", sender.error)


main()
