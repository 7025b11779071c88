# SPDX-License-Identifier: Apache-2.0
"""The shop: a Celery application as one would write it for RabbitMQ. Nothing in it knows weir.

Three kinds of work on one queue with priorities: password resets are mailed first, orders are fulfilled into SQLite,
pictures are resized when nothing else waits. Tasks are acknowledged when they are done, publishes are confirmed. A task
may therefore run twice after a crash, and each is written so that this does no harm.
"""
import os
import smtplib
import sqlite3
import time
from email.message import EmailMessage

from celery import Celery
from kombu import Queue
from PIL import Image

HOME = os.environ["SHOP_HOME"]
SIZES = (960, 480, 160)

app = Celery("shop", broker=os.environ["SHOP_BROKER"])
app.conf.update(
    task_queues=[Queue("shop", queue_arguments={"x-max-priority": 9})],
    task_default_queue="shop",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    # A broker that is being started again is waited for: a retry is a publish as well.
    task_publish_retry_policy={"max_retries": 100, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.5},
)


class CardServiceBusy(Exception):
    """The bank asks to come back later."""


def note_done(task, asked_at):
    """One line per finished run; O_APPEND makes lines of several processes whole."""
    retries = task.request.retries
    line = f"{task.request.id}\t{task.name}\t{retries}\t{time.time() - asked_at:.3f}\n"
    fd = os.open(f"{HOME}/done.tsv", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


@app.task(bind=True)
def resize(self, picture, asked_at):
    """Three sizes of a picture; a half written file is never seen under its name."""
    with Image.open(f"{HOME}/pictures/{picture % len(os.listdir(f'{HOME}/pictures'))}.jpg") as image:
        for size in SIZES:
            small = image.copy()
            small.thumbnail((size, size))
            part = f"{HOME}/thumbs/{picture}-{size}.part-{os.getpid()}"
            small.save(part, "JPEG", quality=85)
            os.replace(part, f"{HOME}/thumbs/{picture}-{size}.jpg")
    note_done(self, asked_at)


@app.task(bind=True, max_retries=None)
def fulfil(self, order, article, quantity, asked_at):
    """The order and the stock in one transaction; an order that is there already is left alone."""
    if order % 12 == 5 and self.request.retries == 0:
        raise self.retry(exc=CardServiceBusy(), countdown=1)
    with sqlite3.connect(f"{HOME}/shop.db", timeout=20) as db:
        new = db.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", (order, article, quantity)).rowcount
        if new:
            db.execute("UPDATE stock SET left = left - ? WHERE article = ?", (quantity, article))
    note_done(self, asked_at)


def mail(to, subject, text):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.org", to, subject
    message.set_content(text)
    with smtplib.SMTP("127.0.0.1", int(os.environ["SHOP_SMTP_PORT"]), timeout=10) as smtp:
        smtp.send_message(message)


@app.task(bind=True, autoretry_for=(OSError,), retry_backoff=1, retry_jitter=False, max_retries=None)
def reset_password(self, user, asked_at):
    """smtplib's errors are OSErrors: a mail server that says 451 is asked again after a second, then two, then four."""
    mail(f"{user}@example.org", "Your new password", f"Dear {user},\n\nhttps://shop.example.org/reset/{self.request.id}\n")
    note_done(self, asked_at)


@app.task(bind=True, autoretry_for=(OSError,), retry_backoff=1, retry_jitter=False, max_retries=None)
def remind(self, user, asked_at):
    """Sent with an ETA: for later."""
    mail(f"{user}@example.org", "Your basket", f"Dear {user},\n\nyou have left something in your basket.\n")
    note_done(self, asked_at)
