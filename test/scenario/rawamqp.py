# SPDX-License-Identifier: Apache-2.0
"""An AMQP 0-9-1 client of nothing but sockets, for the scenarios: only the standard library, since a real client would
refuse to send what is tested here. Frames and a handful of methods."""

import socket
import struct

import rawkafka
from rawkafka import expect

METHOD, HEADER, BODY, BEAT = 1, 2, 3, 8
GREETING = b'AMQP\0\0\x09\x01'


def short(text):
    raw = text.encode()
    return bytes([len(raw)]) + raw


def table(raw=b''):
    return struct.pack('>I', len(raw)) + raw


def frame(kind, channel, payload):
    return struct.pack('>BHI', kind, channel, len(payload)) + payload + b'\xce'


def method(channel, class_id, method_id, fields=b''):
    return frame(METHOD, channel, struct.pack('>HH', class_id, method_id) + fields)


def start_ok(user='guest', password='guest', blocked=False):
    can = short('capabilities') + b'F' + table(short('connection.blocked') + b't\1') if blocked else b''
    return method(0, 10, 11, table(can) + short('PLAIN') + table(f'\0{user}\0{password}'.encode()) + short('en_US'))


def tune_ok(frame_max=131072, heartbeat=0):
    return method(0, 10, 31, struct.pack('>HIH', 2047, frame_max, heartbeat))


LOGIN = start_ok() + tune_ok() + method(0, 10, 40, short('/') + short('') + b'\0')


def publish_method(channel, key):
    return method(channel, 60, 40, b'\0\0' + short('') + short(key) + b'\0')


def content_header(channel, size, persistent=False):
    flags = struct.pack('>HB', 0x1000, 2) if persistent else b'\0\0'
    return frame(HEADER, channel, struct.pack('>HHQ', 60, 0, size) + flags)


def publish(channel, key, body, persistent=False):
    return publish_method(channel, key) + content_header(channel, len(body), persistent) + \
        b''.join(frame(BODY, channel, body[i:i + 131064]) for i in range(0, len(body), 131064))


def declare(channel, queue, flags=0):
    return method(channel, 50, 10, b'\0\0' + short(queue) + bytes([flags]) + table())


def consume(channel, queue, no_ack=False):
    return method(channel, 60, 20, b'\0\0' + short(queue) + short('') + bytes([2 if no_ack else 0]) + table())


def qos(channel, count):
    return method(channel, 60, 10, struct.pack('>IHB', 0, count, 0))


class Amqp:
    """A connection with its channel 1, once `open` has been called."""

    def __init__(self, server, timeout=20):
        host, port = server.addresses['amqp'].rsplit(':', 1)
        self.sock = socket.create_connection((host, int(port)), timeout)
        self.buf = b''

    def send(self, data):
        self.sock.sendall(data)

    def open(self, heartbeat=0, blocked=False):
        self.send(GREETING + start_ok(blocked=blocked) + tune_ok(heartbeat=heartbeat) + method(0, 10, 40, short('/') + short('') + b'\0'))
        self.send(method(1, 20, 10, short('')))
        self.expect(20, 11)
        return self

    def frame(self):
        while len(self.buf) < 7 or len(self.buf) < 8 + struct.unpack_from('>I', self.buf, 3)[0]:
            more = self.sock.recv(1 << 16)
            if more == b'':
                raise EOFError('the server has closed the connection')
            self.buf += more
        kind, channel, size = struct.unpack_from('>BHI', self.buf)
        payload, self.buf = self.buf[7:7 + size], self.buf[8 + size:]
        return kind, channel, payload

    def expect(self, class_id, method_id):
        """Passes over what comes before that method; its fields."""
        while True:
            kind, _, payload = self.frame()
            if kind != METHOD:
                continue
            got = struct.unpack_from('>HH', payload)
            if got == (class_id, method_id):
                return payload[4:]
            if got in ((10, 50), (20, 40)) and (class_id, method_id) not in ((10, 50), (20, 40)):
                raise AssertionError(f'closed: {payload[4:]}')

    def closed_with(self):
        """The code of the connection.close or channel.close that comes."""
        while True:
            kind, _, payload = self.frame()
            if kind == METHOD and struct.unpack_from('>HH', payload) in ((10, 50), (20, 40)):
                return struct.unpack_from('>H', payload, 4)[0]

    def declare(self, queue, flags=2):
        self.send(declare(1, queue, flags))
        return struct.unpack_from('>II', self.expect(50, 11), 1 + len(queue))

    def confirm(self):
        self.send(method(1, 85, 10, b'\0'))
        self.expect(85, 11)

    def publish(self, queue, body):
        """One persistent message, confirmed."""
        self.send(publish(1, queue, body, True))
        self.expect(60, 80)

    def body(self):
        """Of the next content that fits one frame."""
        while True:
            kind, _, payload = self.frame()
            if kind == BODY:
                return payload

    def close(self):
        self.sock.close()


class Server(rawkafka.Server):
    """weir with both doors open."""

    def __init__(self, *options, **more):
        super().__init__('--amqp', '127.0.0.1:0', *options, **more)


def serves(server, when):
    """A new client is served."""
    conn = Amqp(server).open()
    conn.confirm()
    conn.declare('served')
    conn.publish('served', b'x' * 100)
    conn.publish('served', b'y' * 200000)
    expect(conn.declare('served')[0] >= 2, f'{when}: the messages are not there')
    conn.close()
