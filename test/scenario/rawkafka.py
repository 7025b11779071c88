# SPDX-License-Identifier: Apache-2.0
"""A Kafka client of nothing but sockets, and a server under test: what the scenarios and the proof of acknowledgements
share. Only the standard library, since a real client would refuse to send what is tested here. Versions are chosen
below the flexible ones, which keeps every message a few lines."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, CREATE_TOPICS, DELETE_TOPICS, API_VERSIONS = 0, 1, 2, 3, 19, 20, 18
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# ---- bytes


def string(text):
    if text is None:
        return struct.pack('>h', -1)
    raw = text.encode()
    return struct.pack('>h', len(raw)) + raw


def array(items):
    return struct.pack('>i', len(items)) + b''.join(items)


def varint(n):
    n = (n << 1) ^ (n >> 63)
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ 0x82f63b78 if i & 1 else i >> 1
        table.append(i)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc, table = 0xffffffff, CRC_TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def record(i, value, headers=(), key=None):
    body = bytearray(b'\0' + varint(0) + varint(i))
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(len(value)) + value + varint(len(headers))
    for name, text in headers:
        body += varint(len(name)) + name + varint(len(text)) + text
    return varint(len(body)) + bytes(body)


def batch_of(payload, count, attributes=0, producer=(-1, -1, -1), ts_ms=None):
    """A record batch, version 2, around records that are already encoded (and perhaps compressed)."""
    ts_ms = int(time.time() * 1000) if ts_ms is None else ts_ms
    tail = struct.pack('>hiqqqhii', attributes, count - 1, ts_ms, ts_ms, *producer, count) + payload
    return struct.pack('>qiibI', 0, 9 + len(tail), 0, 2, crc32c(tail)) + tail


def batch(values, **kw):
    return batch_of(b''.join(record(i, v) for i, v in enumerate(values)), len(values), **kw)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        size = struct.calcsize('>' + form)
        out = struct.unpack_from('>' + form, self.data, self.at)
        self.at += size
        return out[0] if len(out) == 1 else out

    def string(self):
        n = self.take('h')
        return None if n < 0 else self.raw(n).decode()

    def raw(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def blob(self):
        n = self.take('i')
        return b'' if n < 0 else self.raw(n)

    def list(self, read):
        return [read() for _ in range(self.take('i'))]


# ---- a connection


def frame(api, version, correlation, body, client_id='raw'):
    raw = struct.pack('>hhi', api, version, correlation) + string(client_id) + body
    return struct.pack('>i', len(raw)) + raw


def produce_body(topic, partition, records, acks=-1):
    part = struct.pack('>i', partition) + struct.pack('>i', len(records)) + records
    return string(None) + struct.pack('>hi', acks, 30000) + array([string(topic) + array([part])])


def produce_answer(data):
    r = Reader(data)
    parts = r.list(lambda: (r.string(), r.list(lambda: r.take('ihqqq'))))
    return parts[0][1][0][1], parts[0][1][0][2]  # error code, base offset


class Conn:
    def __init__(self, address, timeout=20):
        host, port = address.rsplit(':', 1)
        self.sock = socket.create_connection((host, int(port)), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0
        self.received = 0

    def close(self):
        self.sock.close()

    def send(self, api, version, body):
        self.correlation += 1
        self.sock.sendall(frame(api, version, self.correlation, body))
        return self.correlation

    def exactly(self, n):
        out = bytearray()
        while len(out) < n:
            some = self.sock.recv(min(n - len(out), 1 << 20))
            if not some:
                raise ConnectionError('closed by the server')
            out += some
        self.received += n
        return bytes(out)

    def answer(self):
        """The next answer: its correlation id and what follows."""
        data = self.exactly(struct.unpack('>i', self.exactly(4))[0])
        return struct.unpack_from('>i', data)[0], data[4:]

    def call(self, api, version, body):
        sent = self.send(api, version, body)
        got, data = self.answer()
        if got != sent:
            raise AssertionError(f'answer {got} to request {sent}')
        return data

    def produce(self, topic, partition, records, acks=-1):
        return produce_answer(self.call(PRODUCE, 7, produce_body(topic, partition, records, acks)))

    def create(self, topic, partitions=1, **configs):
        settings = [string(k.replace('_', '.')) + string(str(v)) for k, v in configs.items()]
        body = array([string(topic) + struct.pack('>ih', partitions, 1) + array([]) + array(settings)])
        r = Reader(self.call(CREATE_TOPICS, 2, body + struct.pack('>ib', 10000, 0)))
        r.take('i')
        return r.list(lambda: (r.string(), r.take('h'), r.string()))[0][1]

    def delete(self, topic):
        r = Reader(self.call(DELETE_TOPICS, 1, array([string(topic)]) + struct.pack('>i', 10000)))
        r.take('i')
        return r.list(lambda: (r.string(), r.take('h')))[0][1]

    def end_offset(self, topic, partition, at=-1):
        """(error, timestamp, offset) of ListOffsets 1; at -1 the end, -2 the start, else by time."""
        body = struct.pack('>i', -1) + array([string(topic) + array([struct.pack('>iq', partition, at)])])
        r = Reader(self.call(LIST_OFFSETS, 1, body))
        return r.list(lambda: (r.string(), r.list(lambda: r.take('ihqq'))))[0][1][0][1:]

    def fetch(self, topic, partition, offset, max_bytes=1 << 20, wait_ms=0):
        """(error, high watermark, records) of Fetch 4."""
        part = struct.pack('>iqi', partition, offset, max_bytes)
        body = struct.pack('>iiiib', -1, wait_ms, 1, max_bytes, 0) + array([string(topic) + array([part])])
        r = Reader(self.call(FETCH, 4, body))
        r.take('i')

        def one():
            _, err, high, _ = r.take('ihqq')
            r.list(lambda: r.take('qq'))
            return err, high, r.blob()
        return r.list(lambda: (r.string(), r.list(one)))[0][1][0]

    def batches(self, topic, partition, offset=0):
        """Every batch from an offset to the end, as (base offset, bytes)."""
        while True:
            err, high, data = self.fetch(topic, partition, offset)
            if err:
                raise AssertionError(f'fetch: error {err}')
            at = 0
            while at + 12 <= len(data):
                base, size = struct.unpack_from('>qi', data, at)
                if at + 12 + size > len(data):
                    break
                yield base, data[at:at + 12 + size]
                offset = base + 1 + struct.unpack_from('>i', data, at + 23)[0]
                at += 12 + size
            if offset >= high:
                return
            if at == 0:
                raise AssertionError('a batch larger than the fetch')


# ---- a server


class Server:
    """weir in a process of its own, in a directory of its own, both gone when it is closed."""

    def __init__(self, *options, data=None, wrap=(), env=None):
        self.home = tempfile.mkdtemp(prefix='weir-', dir=os.environ.get('WEIR_TEST_DIR'))
        self.data = data or os.path.join(self.home, 'data')
        self.options, self.wrap, self.env, self.process = list(options), list(wrap), env, None
        self.address, self.addresses = None, {}
        self.start()

    def binary(self):
        return os.environ.get('WEIR') or os.path.join(ROOT, 'weir')

    def start(self, expect=True, seconds=20):
        addr = os.path.join(self.home, 'addr')
        if os.path.exists(addr):
            os.unlink(addr)
        log = open(os.path.join(self.home, 'log'), 'ab')
        self.process = subprocess.Popen(
            [*self.wrap, self.binary(), 'serve', '--data', self.data, '--kafka', self.address or '127.0.0.1:0',
             '--amqp', 'none', '--addr-file', addr, *self.options], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **(self.env or {})})
        log.close()
        end = time.monotonic() + seconds
        while not os.path.exists(addr):
            if self.process.poll() is not None or time.monotonic() > end:
                if not expect:
                    return False
                raise AssertionError('the server does not start: ' + self.log()[-500:])
            time.sleep(0.002)
        with open(addr, encoding='utf-8') as f:
            self.addresses = dict(line.strip().split('=', 1) for line in f)
        self.address = self.addresses['kafka']
        return True

    def log(self):
        if not os.path.exists(os.path.join(self.home, 'log')):
            return ''
        with open(os.path.join(self.home, 'log'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def pid(self):
        """The server's own, also when it runs under strace or prlimit."""
        if not self.wrap:
            return self.process.pid
        kids = f'/proc/{self.process.pid}/task/{self.process.pid}/children'
        with open(kids, encoding='utf-8') as f:
            child = f.read().split()
        return int(child[0]) if child else self.process.pid

    def resident_mb(self):
        with open(f'/proc/{self.pid()}/status', encoding='utf-8') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('VmRSS')) / 1024

    def conn(self, timeout=20):
        return Conn(self.address, timeout)

    def signal(self, number):
        os.kill(self.pid(), number)

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.alive():
            self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=20):
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError('no clean stop') from None

    def check(self):
        done = subprocess.run([self.binary(), 'check', self.data], capture_output=True, text=True, timeout=60,
                              check=False)
        if done.returncode != 0 or not done.stdout.rstrip().endswith('0 faults'):
            raise AssertionError('weir check: ' + (done.stdout + done.stderr)[-400:])

    def close(self):
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not Skip:
            sys.stderr.write(self.log()[-2000:])
        self.close()


class Skip(Exception):
    """This cannot be shown on this machine; the text says why."""


def expect(condition, text):
    if not condition:
        raise AssertionError(text)
