# SPDX-License-Identifier: Apache-2.0
"""kombu for amqp_checks.py, made with the URL; confirms are an option of its transport and on from the start."""

import os
import socket
import sys
import time
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from amqp_checks import main
from kombu import Connection, Consumer, Exchange, Producer, Queue


def aware(value):  # times are UTC without saying so
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc)
    if isinstance(value, dict):
        return {key: aware(part) for key, part in value.items()}
    return [aware(part) for part in value] if isinstance(value, list) else value


class Message:
    def __init__(self, message):
        info = message.delivery_info
        self.raw, self.redelivered, self.exchange, self.key = (
            message,
            info["redelivered"],
            info["exchange"],
            info["routing_key"],
        )
        self.body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        self.properties = {**aware(message.properties), "headers": aware(message.headers)}
        self.properties.pop("application_headers", None)
        self.properties["content_type"], self.properties["content_encoding"] = message.content_type, message.content_encoding
        if "timestamp" in self.properties:
            self.properties["timestamp"] = datetime.fromtimestamp(self.properties["timestamp"], timezone.utc)


class Channel:
    def __init__(self, connection):
        self.connection, self.raw = connection, connection.channel()
        self.inbox, self.cancels, self.returned = [], [], []
        self.producer = Producer(
            self.raw, on_return=lambda error, exchange, key, message: self.returned.append((error.reply_code, key))
        )

    def named(self, name, exchange=None, key="", **options):
        return Queue(name, exchange, key, channel=self.raw, **options)

    def queue(self, name, passive=False, arguments=None, **flags):
        queue = self.named(name, durable=flags.pop("durable", False), queue_arguments=arguments, **flags)
        made = queue.queue_declare(passive=passive)
        return made.queue, made.message_count

    def exchange(self, name, kind, passive=False):
        Exchange(name, kind, channel=self.raw, durable=False, passive=passive).declare()

    def bind(self, queue, exchange, key, arguments=None):
        self.named(queue, Exchange(exchange), key, binding_arguments=arguments).queue_bind()

    def unbind(self, queue, exchange, key):
        self.named(queue).unbind_from(Exchange(exchange), key)

    def bind_exchange(self, to, source, key):
        Exchange(to, channel=self.raw).bind_to(Exchange(source), key)

    def unbind_exchange(self, to, source, key):
        Exchange(to, channel=self.raw).unbind_from(Exchange(source), key)

    def confirms(self):
        pass

    def publish(self, body, key, exchange="", mandatory=False, **properties):
        if "expiration" in properties:  # kombu takes seconds
            properties["expiration"] = float(properties["expiration"]) / 1000
        if "timestamp" in properties:
            properties["timestamp"] = int(properties["timestamp"].timestamp())
        self.producer.publish(body, key, exchange=exchange, mandatory=mandatory, **properties)

    def consume(self, queue, no_ack=False, exclusive=False):
        took = lambda message: self.inbox.append(Message(message))
        if not no_ack:  # exclusive consumers and cancels are what kombu's Consumer has no word for
            read = lambda message: took(self.raw.message_to_python(message))
            return self.raw.basic_consume(
                queue, no_ack=no_ack, exclusive=exclusive, callback=read, on_cancel=self.cancels.append
            )
        consumer = Consumer(self.raw, [self.named(queue)], no_ack=no_ack, on_message=took, auto_declare=False)
        consumer.consume()
        return None

    def cancel(self, tag):
        self.raw.basic_cancel(tag)

    def get(self, queue):
        message = self.named(queue).get()
        return Message(message) if message else None

    def ack(self, message, multiple=False):
        message.raw.ack(multiple=multiple)

    def reject(self, message, requeue):
        message.raw.requeue() if requeue else message.raw.reject()

    def nack(self, message, requeue, multiple=False):  # no word for it: method (60, 120)
        self.raw.send_method((60, 120), "Lbb", (message.raw.delivery_tag, multiple, requeue))

    def qos(self, count):
        self.raw.basic_qos(0, count, False)

    def purge(self, queue):
        return self.named(queue).purge()

    def delete(self, queue, **flags):
        self.named(queue).delete(**flags)

    def delete_exchange(self, name):
        Exchange(name, channel=self.raw).delete()

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
    cannot_send = set()

    def __init__(self, url):
        self.raw = Connection(url, transport_options={"confirm_publish": True})
        Client.Closed = self.raw.connection_errors + self.raw.channel_errors

    @staticmethod
    def closed_code(error):
        return error.reply_code

    def channel(self):
        return Channel(self.raw)

    def kill(self):
        self.raw.connection.transport.sock.close()

    def close(self):
        self.raw.release()


main(Client)
