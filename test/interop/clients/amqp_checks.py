# SPDX-License-Identifier: Apache-2.0
"""The checks of amqp.sh, for clients in Python. A client brings a class Client:

Client(url)             a connection; close(); kill() drops the socket
client.channel()        a Channel:
    queue(name, **flags) -> (name, messages)    flags: passive durable exclusive auto_delete arguments
    exchange(name, kind, **flags), bind(queue, exchange, key, arguments), bind_exchange(to, source, key), and unbind...
    confirms(); publish(body, key, exchange="", mandatory=False, **properties): with confirms, returns when confirmed
    returned: list of (reply code, routing key) that came back
    consume(queue, **flags) -> tag    flags: no_ack exclusive; deliveries go to the list `inbox`, the server's cancels to `cancels`
    cancel(tag), get(queue) -> Message or None, ack(message, multiple=False), nack(message, requeue, multiple=False),
    reject(message, requeue), qos(count), purge(queue) -> count, delete(queue, **flags), delete_exchange(name), close()
    wait(seconds): handles what the network brings, for that long
Client.Closed: what is raised when the server closed channel or connection; closed_code(error) says the reply code
Client.cannot_send: names in HEADERS whose type the client does not know
Message: body, properties (a dict), redelivered, exchange, key
"""

import os
import sys
import time
import traceback
from datetime import datetime, timezone
from decimal import Decimal

STAMP = datetime(2024, 2, 29, 12, 30, 45, tzinfo=timezone.utc)
HEADERS = {
    "true": True,
    "false": False,
    "small": 7,
    "negative": -70000,
    "large": 1 << 40,
    "half": 0.5,
    "text": "grün 中 \U0001f600",
    "blank": "",
    "none": None,
    "time": STAMP,
    "cents": Decimal("123.45"),
    "list": ["a", 1, None, {"deep": ["er", True]}],
    "table": {"x": 1, "y": {"z": "end"}},
    "no_list": [],
    "no_table": {},
}
PROPERTIES = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "priority": 4,
    "correlation_id": "c-1",
    "reply_to": "r-1",
    "expiration": "60000",
    "message_id": "m-1",
    "timestamp": STAMP,
    "type": "kind",
    "user_id": "guest",
    "app_id": "interop",
}


class Checks:
    def __init__(self, client, url, tag):
        self.client, self.url, self.tag = client, url, tag
        self.connection = client(url)
        self.channel = self.connection.channel()

    def until(self, condition, seconds=20, channel=None):
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, f"not within {seconds} s"
            (channel or self.channel).wait(0.05)

    def queue(self, part="", **flags):
        name = self.tag + part
        self.channel.queue(name, **{"durable": True, **flags})
        return name

    def fill(self, queue, count, **properties):
        for i in range(count):
            self.channel.publish(b"m%d" % i, queue, **properties)

    def bodies(self, channel=None):
        return [m.body.decode() for m in (channel or self.channel).inbox]

    def get_soon(self, queue, seconds=20):
        got = []
        self.until(lambda: got or got.extend(filter(None, [self.channel.get(queue)])), seconds)
        return got[0]

    def refused(self, code, call):
        """call() is refused with code, and its channel is gone; the connection is not."""
        channel = self.connection.channel()
        try:
            call(channel)
        except self.client.Closed as error:
            assert self.client.closed_code(error) == code, error
            return
        raise AssertionError(f"not refused: {code} expected")

    def confirms(self):
        queue = self.queue()
        self.channel.confirms()
        self.fill(queue, 500, delivery_mode=2)
        assert self.channel.queue(queue, passive=True)[1] == 500
        self.channel.consume(queue)
        self.until(lambda: len(self.channel.inbox) == 500)
        assert self.bodies() == [f"m{i}" for i in range(500)]
        for message in self.channel.inbox:
            assert not message.redelivered and message.properties["delivery_mode"] == 2
            self.channel.ack(message)
        self.channel.delete(queue)

    def return_(self):
        self.channel.confirms()
        self.channel.publish(b"x", self.tag + "-nowhere", mandatory=True)
        self.until(lambda: self.channel.returned)
        assert self.channel.returned == [(312, self.tag + "-nowhere")], self.channel.returned
        queue = self.queue()
        self.channel.publish(b"x", queue, mandatory=True)
        self.channel.publish(b"x", self.tag + "-nowhere", mandatory=False)
        self.channel.wait(0.3)
        assert len(self.channel.returned) == 1
        self.channel.delete(queue)

    def properties(self):
        queue = self.queue()
        sent = {name: value for name, value in HEADERS.items() if name not in self.client.cannot_send}
        self.channel.publish(b"x", queue, headers=sent, **PROPERTIES)
        got = dict(self.get_soon(queue).properties)
        headers = got.pop("headers")
        for name, value in sent.items():
            assert headers[name] == value, f"{name}: {value!r} came back as {headers[name]!r}"
        assert set(headers) == set(sent), set(headers) ^ set(sent)
        for name, value in PROPERTIES.items():
            assert got[name] == value, f"{name}: {value!r} came back as {got[name]!r}"
        self.channel.delete(queue)

    def empty(self):
        queue = self.queue()
        self.channel.publish(b"", queue)
        self.channel.publish(b"x", queue, correlation_id="", headers={})
        self.channel.publish(b"", queue, headers={"": "", "null": None})
        first, second, third = (self.get_soon(queue) for _ in range(3))
        assert first.body == b"" and not first.properties.get("headers") and not first.properties.get("reply_to")
        assert second.body == b"x" and not second.properties.get("headers")
        assert third.body == b"" and third.properties["headers"] == {"": "", "null": None}, third.properties
        self.channel.delete(queue)

    def large(self):
        queue, body = self.queue(), bytes(range(256)) * 12000
        self.channel.confirms()
        self.channel.publish(body, queue, delivery_mode=2)
        assert self.get_soon(queue).body == body
        self.channel.delete(queue)

    def prefetch(self):
        queue = self.queue()
        self.fill(queue, 20)
        self.channel.qos(3)
        self.channel.consume(queue)
        self.until(lambda: len(self.channel.inbox) == 3)
        self.channel.wait(0.3)
        assert len(self.channel.inbox) == 3, "more than the prefetch"
        self.channel.ack(self.channel.inbox[0])
        self.until(lambda: len(self.channel.inbox) == 4)
        self.channel.wait(0.3)
        assert self.bodies() == ["m0", "m1", "m2", "m3"]
        self.channel.delete(queue)

    def requeue(self):
        queue = self.queue()
        self.fill(queue, 3)
        first, second = self.get_soon(queue), self.get_soon(queue)
        assert not first.redelivered
        self.channel.reject(first, True)
        self.channel.nack(second, True)
        got = [self.get_soon(queue) for _ in range(3)]
        assert [(m.body, m.redelivered) for m in got] == [(b"m0", True), (b"m1", True), (b"m2", False)], got
        self.channel.delete(queue)

    def multiple(self):
        queue = self.queue()
        self.fill(queue, 9)
        self.channel.consume(queue)
        self.until(lambda: len(self.channel.inbox) == 9)
        first = self.channel.inbox[:]
        self.channel.ack(first[2], multiple=True)
        self.channel.nack(first[5], False, multiple=True)
        self.channel.nack(first[8], True, multiple=True)
        self.until(lambda: len(self.channel.inbox) == 12)
        assert self.bodies()[9:] == ["m6", "m7", "m8"]
        self.channel.delete(queue)

    def closed(self):
        queue = self.queue()
        self.fill(queue, 4)
        other = self.connection.channel()
        other.consume(queue)
        self.until(lambda: len(other.inbox) == 4, channel=other)
        other.ack(other.inbox[0])
        other.close()
        killed = self.client(self.url)
        third = killed.channel()
        third.consume(queue)
        self.until(lambda: len(third.inbox) == 3, channel=third)
        assert self.bodies(third) == ["m1", "m2", "m3"] and all(m.redelivered for m in third.inbox)
        third.ack(third.inbox[0])
        third.wait(0.3)
        killed.kill()
        self.channel.consume(queue)
        self.until(lambda: len(self.channel.inbox) == 2)
        assert self.bodies() == ["m2", "m3"] and all(m.redelivered for m in self.channel.inbox)
        self.channel.delete(queue)

    def dead(self, arguments):
        """A queue with a queue for its dead letters behind an exchange."""
        self.channel.exchange(self.tag + "-dlx", "direct")
        letters = self.queue("-dead")
        self.channel.bind(letters, self.tag + "-dlx", "gone")
        arguments = {"x-dead-letter-exchange": self.tag + "-dlx", "x-dead-letter-routing-key": "gone", **arguments}
        return self.queue(arguments=arguments), letters

    def bury(self, *queues):
        for queue in queues:
            self.channel.delete(queue)
        self.channel.delete_exchange(self.tag + "-dlx")

    def deadletter(self):
        queue, letters = self.dead({})
        self.channel.publish(b"x", queue, headers={"mine": 1}, message_id="m-1")
        self.channel.reject(self.get_soon(queue), False)
        got = self.get_soon(letters)
        assert (got.body, got.key, got.exchange) == (b"x", "gone", self.tag + "-dlx")
        assert got.properties["message_id"] == "m-1" and got.properties["headers"]["mine"] == 1
        headers = got.properties["headers"]
        death = headers["x-death"][0]
        seen = (death["queue"], death["reason"], death["count"], death["exchange"], list(death["routing-keys"]))
        assert seen == (queue, "rejected", 1, "", [queue]), seen
        firsts = tuple(headers["x-first-death-" + part] for part in ("queue", "reason", "exchange"))
        assert firsts == (queue, "rejected", ""), firsts
        assert isinstance(death["time"], datetime), death["time"]
        self.bury(queue, letters)

    def ttl(self):
        queue, letters = self.dead({"x-message-ttl": 3000})
        begin = time.time()
        self.channel.publish(b"own", queue, expiration="300")
        self.channel.publish(b"queue's", queue)
        own = self.get_soon(letters)
        assert own.body == b"own" and 0.2 < time.time() - begin < 2.5, time.time() - begin
        death = own.properties["headers"]["x-death"][0]
        assert death["reason"] == "expired" and death["original-expiration"] == "300", death
        assert not own.properties.get("expiration")
        late = self.get_soon(letters)
        assert late.body == b"queue's" and 2.5 < time.time() - begin < 8, time.time() - begin
        self.bury(queue, letters)

    def priority(self):
        queue = self.queue(arguments={"x-max-priority": 9})
        for level in (1, 5, 9, 3, 7, 5):
            self.channel.publish(b"%d" % level, queue, priority=level)
        self.channel.publish(b"none", queue)
        self.channel.publish(b"top", queue, priority=200)
        self.until(lambda: self.channel.queue(queue, passive=True)[1] == 8)
        got = [self.get_soon(queue).body.decode() for _ in range(8)]
        assert got == ["9", "top", "7", "5", "5", "3", "1", "none"], got
        self.channel.delete(queue)

    def get(self):
        queue = self.queue()
        assert self.channel.get(queue) is None
        self.fill(queue, 5)
        self.until(lambda: self.channel.queue(queue, passive=True)[1] == 5)
        message = self.channel.get(queue)
        assert message.body == b"m0" and message.key == queue and message.exchange == ""
        assert self.channel.queue(queue, passive=True)[1] == 4
        self.channel.ack(message)
        assert self.channel.purge(queue) == 4
        assert self.channel.get(queue) is None
        self.channel.delete(queue)

    def exclusive(self):
        queue = self.queue(durable=False, exclusive=True)
        other = self.client(self.url)
        mine, self.connection = self.connection, other
        self.refused(405, lambda channel: channel.queue(queue, passive=True))
        self.refused(405, lambda channel: channel.consume(queue))
        self.connection = mine
        shared = self.queue("-shared")
        self.channel.consume(shared, exclusive=True)
        self.connection = other
        self.refused(403, lambda channel: channel.consume(shared))
        mine.close()
        self.channel = other.channel()
        self.refused(404, lambda channel: channel.queue(queue, passive=True))
        self.channel.delete(shared)

    def passive(self):
        queue = self.queue(arguments={"x-max-priority": 5})
        exchange = self.tag + "-x"
        self.channel.exchange(exchange, "direct")
        self.refused(404, lambda channel: channel.queue(self.tag + "-none", passive=True))
        self.refused(404, lambda channel: channel.exchange(self.tag + "-none", "direct", passive=True))
        self.refused(404, lambda channel: channel.get(self.tag + "-none"))
        self.refused(404, lambda channel: channel.bind(queue, self.tag + "-none", "key"))
        self.refused(406, lambda channel: channel.queue(queue, durable=True))
        self.refused(406, lambda channel: channel.queue(queue, durable=False, arguments={"x-max-priority": 5}))
        self.refused(406, lambda channel: channel.exchange(exchange, "topic"))
        self.refused(403, lambda channel: channel.queue("amq.mine", durable=True))
        self.queue(arguments={"x-max-priority": 5})
        self.channel.exchange(exchange, "direct")
        self.channel.exchange(exchange, "direct", passive=True)
        self.channel.delete(queue)
        self.channel.delete_exchange(exchange)

    def cancelled(self):
        queue = self.queue()
        tag = self.channel.consume(queue)
        other = self.connection.channel()
        other.delete(queue)
        self.until(lambda: self.channel.cancels)
        assert self.channel.cancels == [tag], (self.channel.cancels, tag)

    def reaches(self, exchange, key, want, queues, **properties):
        self.channel.publish(b"x", key, exchange, **properties)
        self.until(lambda: sum(self.channel.queue(q, passive=True)[1] for q in queues) == len(want))
        got = [name for name, queue in zip("abc", queues) if self.channel.purge(queue)]
        assert got == list(want), (exchange, key, got, want)

    def exchanges(self):
        channel, name = self.channel, lambda kind: f"{self.tag}-{kind}"
        queues = a, b, c = [self.queue("-" + part) for part in "abc"]
        for kind in ("direct", "fanout", "topic", "headers"):
            channel.exchange(name(kind), kind)
        channel.bind(a, name("direct"), "k")
        channel.bind(b, name("direct"), "k")
        channel.bind(b, name("direct"), "l")
        channel.bind(a, name("fanout"), "")
        channel.bind(c, name("fanout"), "ignored")
        channel.bind(a, name("topic"), "one.*")
        channel.bind(b, name("topic"), "#.end")
        channel.bind(c, name("topic"), "#")
        channel.bind(a, name("headers"), "", {"x-match": "all", "p": 1, "q": "two"})
        channel.bind(b, name("headers"), "", {"x-match": "any", "p": 1, "q": "other"})
        self.reaches(name("direct"), "k", "ab", queues)
        self.reaches(name("direct"), "l", "b", queues)
        self.reaches(name("fanout"), "any", "ac", queues)
        self.reaches(name("topic"), "one.end", "abc", queues)
        self.reaches(name("topic"), "end", "bc", queues)
        self.reaches(name("topic"), "one.two.three", "c", queues)
        self.reaches(name("headers"), "", "ab", queues, headers={"p": 1, "q": "two"})
        self.reaches(name("headers"), "", "b", queues, headers={"p": 1})
        channel.bind_exchange(name("fanout"), name("direct"), "k")
        self.reaches(name("direct"), "k", "abc", queues)
        channel.unbind_exchange(name("fanout"), name("direct"), "k")
        channel.unbind(a, name("direct"), "k")
        self.reaches(name("direct"), "k", "b", queues)
        for queue in queues:
            channel.delete(queue)
        for kind in ("direct", "fanout", "topic", "headers"):
            channel.delete_exchange(name(kind))

    def lifetime(self):
        channel = self.channel
        made = channel.queue("", exclusive=True)[0]
        assert made.startswith("amq.gen-"), made
        channel.publish(b"x", made)
        assert self.get_soon(made).body == b"x"
        own = self.queue("-auto", durable=False, auto_delete=True)
        tag = channel.consume(own)
        channel.cancel(tag)
        self.refused(404, lambda other: other.queue(own, passive=True))
        kept = self.queue("-kept")
        tag = channel.consume(kept)
        self.refused(406, lambda other: other.delete(kept, if_unused=True))
        channel.cancel(tag)
        channel.publish(b"x", kept)
        self.until(lambda: channel.queue(kept, passive=True)[1] == 1)
        self.refused(406, lambda other: other.delete(kept, if_empty=True))
        channel.delete(kept)
        short = self.queue("-short", arguments={"x-expires": 500})
        channel.wait(2)
        self.refused(404, lambda other: other.queue(short, passive=True))

    def replyto(self):
        queue = self.queue()
        self.channel.consume("amq.rabbitmq.reply-to", no_ack=True)
        self.channel.publish(b"ask", queue, reply_to="amq.rabbitmq.reply-to", correlation_id="c-1")
        server = self.client(self.url)
        channel = server.channel()
        channel.consume(queue)
        self.until(lambda: channel.inbox, channel=channel)
        asked = channel.inbox[0]
        back = asked.properties["reply_to"]
        assert back.startswith("amq.rabbitmq.reply-to."), back
        channel.publish(b"answer", back, correlation_id=asked.properties["correlation_id"])
        channel.ack(asked)
        channel.wait(0.1)
        self.until(lambda: self.channel.inbox)
        answer = self.channel.inbox[0]
        assert (answer.body, answer.properties["correlation_id"]) == (b"answer", "c-1")
        server.close()
        self.channel.delete(queue)


def main(client):
    url, name, tag = sys.argv[1:4]
    try:
        checks = Checks(client, url, tag)
        getattr(checks, {"return": "return_"}.get(name, name))()
        checks.connection.close()
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # or a client's threads and loops have the last word
