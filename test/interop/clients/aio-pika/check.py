# SPDX-License-Identifier: Apache-2.0
"""aio-pika for amqp_checks.py: connect() with the URL, channels as they come (with confirms), on an event loop that
runs for as long as each call takes."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import aio_pika
import aiormq
from aio_pika.exceptions import AMQPError
from amqp_checks import main

LOOP = asyncio.new_event_loop()
run = LOOP.run_until_complete


class Message:
    def __init__(self, message):
        self.raw, self.redelivered, self.exchange, self.key = (
            message,
            message.redelivered,
            message.exchange,
            message.routing_key,
        )
        names = "content_type content_encoding priority correlation_id reply_to message_id timestamp type user_id app_id headers"
        self.body = message.body
        self.properties = {name: getattr(message, name) for name in names.split() if getattr(message, name) is not None}
        if message.delivery_mode is not None:
            self.properties["delivery_mode"] = int(message.delivery_mode)
        if message.expiration is not None:
            self.properties["expiration"] = str(int(message.expiration * 1000))


async def open_channel(connection):
    channel = connection.channel()
    await channel.initialize()
    return channel


class Channel:
    def __init__(self, connection):
        self.raw = run(open_channel(connection))
        self.inbox, self.cancels, self.returned = [], [], []
        self.under = run(self.raw.get_underlay_channel())
        self.under.on_consumer_cancel_callbacks.add(lambda frame: self.cancels.append(frame.consumer_tag))

    def named(self, queue):
        return run(self.raw.get_queue(queue, ensure=False))

    def exchange_named(self, name):
        return run(self.raw.get_exchange(name, ensure=False)) if name else self.raw.default_exchange

    def queue(self, name, **flags):
        made = run(self.raw.declare_queue(name or None, **flags))
        return made.name, made.declaration_result.message_count

    def exchange(self, name, kind, **flags):
        run(self.raw.declare_exchange(name, kind, **flags))

    def bind(self, queue, exchange, key, arguments=None):
        run(self.named(queue).bind(exchange, key, arguments=arguments))

    def unbind(self, queue, exchange, key):
        run(self.named(queue).unbind(exchange, key))

    def bind_exchange(self, to, source, key):
        run(self.exchange_named(to).bind(source, key))

    def unbind_exchange(self, to, source, key):
        run(self.exchange_named(to).unbind(source, key))

    def confirms(self):
        pass

    def publish(self, body, key, exchange="", mandatory=False, **properties):
        if "expiration" in properties:  # seconds
            properties["expiration"] = float(properties["expiration"]) / 1000
        message = aio_pika.Message(body, **properties)
        got = run(self.exchange_named(exchange).publish(message, key, mandatory=mandatory))
        if isinstance(got, aiormq.abc.DeliveredMessage):  # with confirms a return is publish's answer
            self.returned.append((got.delivery.reply_code, got.delivery.routing_key))

    def consume(self, queue, no_ack=False, exclusive=False):
        async def took(message):
            self.inbox.append(Message(message))

        return run(self.named(queue).consume(took, no_ack=no_ack, exclusive=exclusive))

    def cancel(self, tag):
        run(self.under.basic_cancel(tag))

    def get(self, queue):
        message = run(self.named(queue).get(fail=False))
        return Message(message) if message else None

    def ack(self, message, multiple=False):
        run(message.raw.ack(multiple))

    def nack(self, message, requeue, multiple=False):
        run(message.raw.nack(multiple, requeue))

    def reject(self, message, requeue):
        run(message.raw.reject(requeue))

    def qos(self, count):
        run(self.raw.set_qos(count))

    def purge(self, queue):
        return run(self.named(queue).purge()).message_count

    def delete(self, queue, **flags):
        run(self.raw.queue_delete(queue, **flags))

    def delete_exchange(self, name):
        run(self.raw.exchange_delete(name))

    def wait(self, seconds):
        run(asyncio.sleep(seconds))

    def close(self):
        run(self.raw.close())


class Client:
    Closed = (AMQPError, aiormq.exceptions.AMQPError)
    cannot_send = set()

    def __init__(self, url):
        before = set(LOOP._transports)
        self.raw = run(aio_pika.connect(url))
        self.transports = [LOOP._transports[number] for number in set(LOOP._transports) - before]

    @staticmethod
    def closed_code(error):  # the class says it
        codes = {"ChannelAccessRefused": 403, "ChannelNotFoundEntity": 404, "ChannelLockedResource": 405}
        return {**codes, "ChannelPreconditionFailed": 406}.get(type(error).__name__)

    def channel(self):
        return Channel(self.raw)

    def kill(self):
        for transport in self.transports:
            transport.abort()
        run(asyncio.sleep(0))

    def close(self):
        run(self.raw.close())


main(Client)
