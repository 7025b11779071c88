# SPDX-License-Identifier: Apache-2.0
"""py-amqp for amqp_checks.py, made with address and user."""

import os
import socket
import sys
import time
from datetime import datetime, timezone
from urllib.parse import urlparse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import amqp
from amqp_checks import main


def aware(value):  # py-amqp's times are UTC without saying so
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc)
    if isinstance(value, dict):
        return {key: aware(part) for key, part in value.items()}
    return [aware(part) for part in value] if isinstance(value, list) else value


class Message:
    def __init__(self, message):
        info = message.delivery_info
        self.tag, self.redelivered = info["delivery_tag"], info["redelivered"]
        self.exchange, self.key = info["exchange"], info["routing_key"]
        body = message.body
        self.body = body.encode() if isinstance(body, str) else bytes(body)
        renamed = {"application_headers": "headers"}
        self.properties = {renamed.get(key, key): aware(value) for key, value in message.properties.items()}
        if "timestamp" in self.properties:  # py-amqp leaves it a number
            self.properties["timestamp"] = datetime.fromtimestamp(self.properties["timestamp"], timezone.utc)


class Channel:
    def __init__(self, connection):
        self.connection = connection
        self.raw = connection.channel()
        self.inbox, self.cancels, self.returned = [], [], []
        self.raw.events["basic_return"].add(lambda error, exchange, key, message: self.returned.append((error.reply_code, key)))

    def queue(self, name, passive=False, durable=False, exclusive=False, auto_delete=False, arguments=None):
        ok = self.raw.queue_declare(name, passive, durable, exclusive, auto_delete, arguments=arguments)
        return ok.queue, ok.message_count

    def exchange(self, name, kind, **flags):
        self.raw.exchange_declare(name, kind, **{"auto_delete": False, **flags})

    def bind(self, queue, exchange, key, arguments=None):
        self.raw.queue_bind(queue, exchange, key, arguments=arguments)

    def unbind(self, queue, exchange, key):
        self.raw.queue_unbind(queue, exchange, key)

    def bind_exchange(self, to, source, key):
        self.raw.exchange_bind(to, source, key)

    def unbind_exchange(self, to, source, key):
        self.raw.exchange_unbind(to, source, key)

    def confirms(self):
        self.raw.confirm_select()
        self.raw.basic_publish = self.raw.basic_publish_confirm

    def publish(self, body, key, exchange="", mandatory=False, headers=None, **properties):
        if headers is not None:
            properties["application_headers"] = headers
        if "timestamp" in properties:
            properties["timestamp"] = int(properties["timestamp"].timestamp())
        self.raw.basic_publish(amqp.Message(body, **properties), exchange, key, mandatory)

    def consume(self, queue, **flags):
        return self.raw.basic_consume(
            queue, callback=lambda message: self.inbox.append(Message(message)), on_cancel=self.cancels.append, **flags
        )

    def cancel(self, tag):
        self.raw.basic_cancel(tag)

    def get(self, queue):
        message = self.raw.basic_get(queue)
        return Message(message) if message else None

    def ack(self, message, multiple=False):
        self.raw.basic_ack(message.tag, multiple)

    def nack(self, message, requeue, multiple=False):  # py-amqp has no word for it: method (60, 120)
        self.raw.send_method((60, 120), "Lbb", (message.tag, multiple, requeue))

    def reject(self, message, requeue):
        self.raw.basic_reject(message.tag, requeue)

    def qos(self, count):
        self.raw.basic_qos(0, count, False)

    def purge(self, queue):
        return self.raw.queue_purge(queue)

    def delete(self, queue, **flags):
        self.raw.queue_delete(queue, **flags)

    def delete_exchange(self, name):
        self.raw.exchange_delete(name)

    def wait(self, seconds):
        end = time.time() + seconds
        while (left := end - time.time()) > 0:
            try:
                self.connection.drain_events(timeout=left)
            except socket.timeout:
                pass

    def close(self):
        self.raw.close()


class Client:
    Closed = (amqp.ChannelError, amqp.ConnectionError)
    cannot_send = set()

    def __init__(self, url):
        at = urlparse(url)
        self.raw = amqp.Connection(f"{at.hostname}:{at.port}", at.username, at.password)
        self.raw.connect()

    @staticmethod
    def closed_code(error):
        return error.reply_code

    def channel(self):
        return Channel(self.raw)

    def kill(self):
        self.raw.transport.sock.close()

    def close(self):
        self.raw.close()


main(Client)
