# SPDX-License-Identifier: Apache-2.0
"""pika's blocking connection for amqp_checks.py, made with the URL and nothing else."""

import os
import socket
import sys
import time
from datetime import timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pika
from amqp_checks import STAMP, main
from pika.exceptions import AMQPChannelError, AMQPConnectionError, UnroutableError


class Message:
    def __init__(self, method, properties, body):
        self.tag, self.redelivered, self.exchange, self.key = (
            method.delivery_tag,
            method.redelivered,
            method.exchange,
            method.routing_key,
        )
        self.body, self.properties = body, {k: v for k, v in vars(properties).items() if v is not None}
        if "timestamp" in self.properties:  # pika leaves it a number
            assert self.properties["timestamp"] == int(STAMP.timestamp())
            self.properties["timestamp"] = STAMP
        headers = self.properties.get("headers", {})
        if "time" in headers:  # pika's is UTC without saying so
            headers["time"] = headers["time"].replace(tzinfo=timezone.utc)


class Channel:
    def __init__(self, connection):
        self.connection, self.raw = connection, connection.channel()
        self.inbox, self.cancels, self.returned = [], [], []
        self.raw.add_on_cancel_callback(lambda frame: self.cancels.append(frame.method.consumer_tag))
        self.raw.add_on_return_callback(self.came_back)

    def came_back(self, _channel, method, _properties, _body):
        self.returned.append((method.reply_code, method.routing_key))

    def queue(self, name, **flags):
        ok = self.raw.queue_declare(name, **flags).method
        return ok.queue, ok.message_count

    def exchange(self, name, kind, **flags):
        self.raw.exchange_declare(name, kind, **flags)

    def bind(self, queue, exchange, key, arguments=None):
        self.raw.queue_bind(queue, exchange, key, arguments)

    def unbind(self, queue, exchange, key):
        self.raw.queue_unbind(queue, exchange, key)

    def bind_exchange(self, to, source, key):
        self.raw.exchange_bind(to, source, key)

    def unbind_exchange(self, to, source, key):
        self.raw.exchange_unbind(to, source, key)

    def confirms(self):
        self.raw.confirm_delivery()

    def publish(self, body, key, exchange="", mandatory=False, **properties):
        if "timestamp" in properties:
            properties["timestamp"] = int(properties["timestamp"].timestamp())
        try:
            self.raw.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory)
        except UnroutableError:
            pass  # came_back is called as well

    def consume(self, queue, no_ack=False, exclusive=False):
        took = lambda _channel, *message: self.inbox.append(Message(*message))
        return self.raw.basic_consume(queue, took, auto_ack=no_ack, exclusive=exclusive)

    def cancel(self, tag):
        self.raw.basic_cancel(tag)

    def get(self, queue):
        method, properties, body = self.raw.basic_get(queue)
        return Message(method, properties, body) if method else None

    def ack(self, message, multiple=False):
        self.raw.basic_ack(message.tag, multiple)

    def nack(self, message, requeue, multiple=False):
        self.raw.basic_nack(message.tag, multiple, requeue)

    def reject(self, message, requeue):
        self.raw.basic_reject(message.tag, requeue)

    def qos(self, count):
        self.raw.basic_qos(prefetch_count=count)

    def purge(self, queue):
        return self.raw.queue_purge(queue).method.message_count

    def delete(self, queue, **flags):
        self.raw.queue_delete(queue, **flags)

    def delete_exchange(self, name):
        self.raw.exchange_delete(name)

    def wait(self, seconds):
        end = time.time() + seconds
        while (left := end - time.time()) > 0:
            self.connection.process_data_events(left)

    def close(self):
        self.raw.close()


class Client:
    Closed = (AMQPChannelError, AMQPConnectionError)
    cannot_send = {"half"}  # pika has no floating point

    def __init__(self, url):
        self.raw = pika.BlockingConnection(pika.URLParameters(url))

    @staticmethod
    def closed_code(error):
        return error.reply_code

    def channel(self):
        return Channel(self.raw)

    def kill(self):
        self.raw._impl._transport._sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.raw.close()


main(Client)
