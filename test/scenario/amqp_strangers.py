# SPDX-License-Identifier: Apache-2.0
"""What strangers send to the AMQP door, over real sockets to a real server: lengths that lie, by the ten thousand; a byte
now and then; bodies that promise much, bring too much or stop; deliveries and answers never read; half-open states in a
loop; very many bindings. In each case the same three things are asked: does memory stay flat, do others notice nothing, does it end."""

import shutil
import socket
import struct
import subprocess
import threading
import time

import strangers
from rawamqp import (BODY, GREETING, LOGIN, Amqp, Server, consume, content_header, declare, frame, method, publish,
                     publish_method, qos, serves, short, start_ok, table)
from rawkafka import Skip, expect
from strangers import closed, descriptors, flat

MB = 1 << 20


class Neighbour(strangers.Neighbour):
    """The same with confirmed messages."""

    def connect(self, server):
        conn = Amqp(server).open()
        conn.confirm()
        conn.declare('neighbour')
        return conn

    def once(self):
        self.conn.publish('neighbour', b'ordinary')


def raw(server, data=b''):
    return strangers.raw(server, data, 'amqp')


def amqp_lying_lengths():
    """10,000 sockets hold a length that buys nothing: before the greeting, before the login, the largest that is allowed
    there, and after the login that of a whole frame, with a few bytes of what it promises."""
    count = 10000
    descriptors(count + 500)
    early = [b'\x7f\xff\xff\xff\xff', b'\x16\x03\x01\0\xff', GREETING + b'\1\0\0\x7f\xff\xff\xff',
             GREETING + b'\1\0\0\xff\xff\xff\xff', GREETING + b'\1\0\0\0\0\x0f\xff\0\x0a']
    late = [GREETING + LOGIN + b'\1\0\1\0\1\xff\xf0\0\x32', GREETING + LOGIN + b'\3\0\1\0\1\xff\xf0' + b'x' * 100]
    with Server() as server:
        neighbour = Neighbour(server)
        before = server.resident_mb()
        said = []
        for name, kinds, sockets in (('before the login', early, count), ('after it', late, 2000)):
            socks = strangers.many(server, sockets, kinds, 'amqp')
            time.sleep(0.5)
            said.append(f'{name} {flat(server, before, 150, name)}')
            serves(server, name)
            if name == 'before the login':
                expect(all(closed(sock, 15) for sock in socks[:10] + socks[-10:]), 'a connection stays open')
            for sock in socks:
                sock.close()
        neighbour.end(4.0)
        expect(server.stop() == 0, 'no clean stop')
        return '; '.join(said)


def amqp_slow_bytes():
    """A byte a second, in the handshake or in a frame, is ended in time; a client that only rests is not."""
    with Server() as server:
        neighbour = Neighbour(server)
        resting = Amqp(server).open()
        slow = [(raw(server), GREETING), (raw(server, GREETING), start_ok()), (raw(server, GREETING + start_ok()), LOGIN)]
        late = Amqp(server).open()
        slow.append((late.sock, method(1, 50, 10, b'\0\0' + short('q' * 200) + b'\0' + struct.pack('>I', 0))))
        ends = {}
        began = time.monotonic()
        for i in range(45):
            for n, (sock, data) in enumerate(slow):
                if n in ends:
                    continue
                try:
                    sock.sendall(data[i % len(data):i % len(data) + 1])
                    if closed(sock, 0.01):
                        ends[n] = time.monotonic() - began
                except OSError:
                    ends[n] = time.monotonic() - began
            if len(ends) == len(slow):
                break
            time.sleep(1)
        expect(len(ends) == len(slow), f'only {sorted(ends)} were ended in {time.monotonic() - began:.0f} s')
        expect(all(ends[n] < 14 for n in range(3)), f'the handshake may last {ends}')
        resting.declare('rest')
        neighbour.end()
        return 'ended after ' + ', '.join(f'{ends[n]:.0f}' for n in sorted(ends)) + ' s'


def amqp_bodies():
    """Bodies that promise 16 MiB and stop, by the hundred; that bring a gigabyte where ten bytes were promised; that
    nobody may send."""
    with Server('-X', 'weir.memory.bytes=268435456') as server:
        neighbour = Neighbour(server)
        before = server.resident_mb()
        promise = publish_method(1, 'q') + content_header(1, 16 * MB)
        stopped = []
        for i in range(300):
            conn = Amqp(server).open()
            conn.send(promise + frame(BODY, 1, b'x' * 1000) + b'\3\0\1\0\1\xff\xf0' + b'y' * 5000)
            stopped.append(conn)
        said = flat(server, before, 80, 'promised')
        much = Amqp(server).open()
        sent = 0
        try:
            much.send(publish_method(1, 'q') + content_header(1, 10))
            for _ in range(8000):
                much.send(frame(BODY, 1, b'z' * 131064))
                sent += 131064
        except OSError:
            pass
        expect(sent < 100 * MB, f'{sent / MB:.0f} MB were taken for ten bytes')
        for size in (16 * MB + 1, 1 << 62, 1 << 63, (1 << 64) - 1):
            conn = Amqp(server).open()
            conn.send(publish_method(1, 'q') + content_header(1, size))
            expect(conn.closed_with() == 406, f'a body of {size} bytes')
            conn.close()
        flat(server, before, 100, 'sent')
        serves(server, 'beside them')
        expect(all(closed(conn.sock, 40) for conn in stopped[:5] + stopped[-5:]), 'a content that stopped is kept')
        for conn in stopped:
            conn.close()
        neighbour.end(4.0)
        expect(server.stop() == 0, 'no clean stop')
        return f'{said}, {sent / MB:.0f} MB of a gigabyte sent'


def amqp_unread():
    """Deliveries without limit to clients that never read, and answers that nobody reads: each holds what a connection
    may hold; the messages come to others when the deaf have gone."""
    count, size = 2000, 20000
    with Server('-X', 'weir.memory.bytes=268435456') as server:
        conn = Amqp(server).open()
        conn.confirm()
        conn.declare('deaf')
        for i in range(count):
            conn.send(publish(1, 'deaf', struct.pack('>I', i) * (size // 4), True))
        while conn.declare('deaf')[0] < count:
            time.sleep(0.05)
        neighbour = Neighbour(server)
        before = server.resident_mb()
        deaf = []
        for i in range(40):
            other = Amqp(server).open()
            other.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            if i % 2 == 0:
                other.send(qos(1, 0) + consume(1, 'deaf'))
            else:
                other.sock.settimeout(0.5)
                try:
                    other.send(declare(1, 'deaf', 3) * 200000)
                except OSError:
                    pass
            deaf.append(other)
        time.sleep(2)
        said = flat(server, before, 120, 'deaf')
        serves(server, 'beside them')
        for other in deaf:
            other.close()
        conn.send(qos(1, 100) + consume(1, 'deaf'))
        seen = set()
        while len(seen) < count:
            kind, _, payload = conn.frame()
            if kind == BODY:
                seen.add(payload[:4])
            elif kind == 1 and struct.unpack_from('>HH', payload) == (60, 60):
                tag_at = 5 + payload[4]
                conn.send(method(1, 60, 80, payload[tag_at:tag_at + 8] + b'\0'))
        neighbour.end(4.0)
        conn.close()
        expect(server.stop() == 0, 'no clean stop')
        return f'{said}; all {count} messages came afterwards'


def amqp_half_open():
    """Connections left in every half-open state, again and again: nothing of them stays."""
    states = [b'', GREETING[:5], GREETING, GREETING + start_ok(), GREETING + LOGIN,
              GREETING + LOGIN + method(1, 20, 10, short('')) + declare(1, 'half') + consume(1, 'half'),
              GREETING + LOGIN + method(1, 20, 10, short('')) + declare(1, '', 4),
              GREETING + LOGIN + method(1, 20, 10, short('')) + publish_method(1, 'half') + content_header(1, 5000),
              GREETING + LOGIN + method(1, 20, 10, short('')) + declare(1, 'nowhere', 1),
              GREETING + LOGIN + method(1, 20, 10, short('')) + publish(1, 'half', b'x' * 50) + method(1, 60, 60)]
    with Server() as server:
        neighbour = Neighbour(server)
        sizes = []
        for _ in range(4):
            for _ in range(150):
                socks = [raw(server, state) for state in states]
                for sock in socks:
                    sock.close()
            time.sleep(0.5)
            sizes.append(server.resident_mb())
        expect(sizes[-1] - sizes[0] < 30, f'resident memory grows: {sizes}')
        serves(server, 'afterwards')
        neighbour.end(4.0)
        expect(server.stop() == 0, 'no clean stop')
        return f'{4 * 150 * len(states)} connections, {sizes[0]:.0f} to {sizes[-1]:.0f} MB'


def amqp_slow_disk():
    """A disk that takes long for each write: what publishes is held back and told so, others go on, and when it is
    over it is told that as well; nothing is lost."""
    if shutil.which('strace') is None or subprocess.run(['strace', '-o', '/dev/null', 'true'], check=False).returncode != 0:
        raise Skip('no strace')
    wrap = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=pwritev,fdatasync', '-e',
            'inject=pwritev,fdatasync:delay_enter=1200000', '-e', 'signal=none']
    count, size = 20, 1000000
    with Server('-X', 'weir.memory.bytes=67108864', wrap=wrap) as server:
        conn = Amqp(server, 60).open(blocked=True)
        conn.declare('slow')
        told = []
        sender = threading.Thread(target=lambda: conn.send(publish(1, 'slow', b'x' * size, True) * count), daemon=True)
        sender.start()
        other = Amqp(server, 60).open()
        began = time.monotonic()
        while time.monotonic() - began < 60 and told[-1:] != ['unblocked']:
            kind, _, payload = conn.frame()
            if kind == 1 and payload[:4] == struct.pack('>HH', 10, 60):
                told.append('blocked')
                before = time.monotonic()
                other.send(method(1, 60, 10, struct.pack('>IHB', 0, 1, 0)))  # basic.qos, which needs no disk
                other.expect(60, 11)
                expect(time.monotonic() - before < 1, 'another connection waits for the disk')
            elif kind == 1 and payload[:4] == struct.pack('>HH', 10, 61):
                told.append('unblocked')
        expect(told[:2] == ['blocked', 'unblocked'], f'told {told}')
        sender.join(60)
        while other.declare('slow')[0] < count:
            time.sleep(0.2)
        return f'told {len(told) // 2} times, all {count} messages are there'


def bind(index, flags):
    key = f'*.#.k{index}.#.*'  # each has to be tried at every depth of a key
    return method(1, 50, 20, b'\0\0' + short('bound') + short('fan') + short(key) + bytes([flags]) + table())


def publish_to(exchange, key, body):
    return method(1, 60, 40, b'\0\0' + short(exchange) + short(key) + b'\0') + content_header(1, len(body), True) + frame(BODY, 1, body)


def amqp_bindings():
    """100,000 durable bindings with wildcards of one queue: they cost their own size, routing by them does not hold
    others up, they outlive a kill -9, and go with their exchange."""
    count, nowait = 100000, 1
    with Server() as server:
        neighbour = Neighbour(server)
        before = server.resident_mb()
        conn = Amqp(server, 60).open()
        conn.declare('bound')
        conn.send(method(1, 40, 10, b'\0\0' + short('fan') + short('topic') + b'\2' + table()))
        conn.expect(40, 11)
        for first in range(0, count, 1000):
            conn.send(b''.join(bind(i, nowait) for i in range(first, first + 1000)))
        conn.send(bind(count, 0))
        conn.expect(50, 21)
        conn.confirm()
        began = time.monotonic()
        conn.send(publish_to('fan', 'a.b.k77777.c.k5.d', b'once'))  # two of them match
        conn.expect(60, 80)
        took = time.monotonic() - began
        expect(took < 1, f'routing one message took {took:.1f} s')
        said = flat(server, before, 120, 'bindings')
        neighbour.end(4.0)
        conn.close()

        server.kill()
        server.start()
        conn = Amqp(server, 60).open()
        conn.confirm()
        conn.send(publish_to('fan', 'a.k99999.b', b'again'))
        conn.expect(60, 80)
        ready = conn.declare('bound')[0]
        expect(ready == 2, f'{ready} messages in the queue, not one of each publish')
        conn.send(method(1, 40, 20, b'\0\0' + short('fan') + b'\0'))
        conn.expect(40, 21)
        serves(server, 'afterwards')
        expect(server.stop() == 0, 'no clean stop')
        return f'{said}; one message among them in {took * 1000:.1f} ms'


TESTS = [amqp_lying_lengths, amqp_slow_bytes, amqp_bodies, amqp_unread, amqp_half_open, amqp_slow_disk, amqp_bindings]
