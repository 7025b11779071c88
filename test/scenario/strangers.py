# SPDX-License-Identifier: Apache-2.0
"""What strangers send, over real sockets to a real server: lengths that lie, by the ten thousand; counts that lie; answers
never read; a byte now and then; more connections than descriptors; many headers; what unpacks to a gigabyte. In each
case the same three things are asked: does memory stay flat, do others notice nothing, does it end."""

import gzip
import os
import resource
import socket
import struct
import threading
import time

from rawkafka import (API_VERSIONS, CREATE_TOPICS, FETCH, LIST_OFFSETS, METADATA, PRODUCE, Server, Skip, array, batch,
                      batch_of, crc32c, expect, frame, produce_body, record, string, varint)

MB = 1 << 20


class Neighbour:
    """A client that does ordinary work all the while, and remembers the longest it had to wait."""

    def __init__(self, server):
        self.conn = self.connect(server)
        self.slowest, self.done, self.error, self.stopping = 0.0, 0, None, False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def connect(self, server):
        conn = server.conn()
        expect(conn.create('neighbour', 1) == 0, 'no topic')
        return conn

    def once(self):
        error, _ = self.conn.produce('neighbour', 0, batch([b'ordinary']))
        expect(error == 0, f'produce: error {error}')

    def work(self):
        try:
            while not self.stopping:
                began = time.monotonic()
                self.once()
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.done += 1
                time.sleep(0.01)
        except (OSError, EOFError, AssertionError) as e:
            self.error = e

    def end(self, seconds=2.0):
        self.stopping = True
        self.thread.join(30)
        expect(self.error is None, f'a neighbour was hurt: {self.error}')
        expect(self.done > 0 and self.slowest < seconds, f'a neighbour waited {self.slowest:.1f} s')
        self.conn.close()


def flat(server, before, allowed_mb, what):
    now = server.resident_mb()
    expect(now - before < allowed_mb, f'{what}: resident memory went from {before:.0f} to {now:.0f} MB')
    return f'{before:.0f} to {now:.0f} MB'


def closed(sock, seconds):
    """Whether the server ends the connection in time, whatever it sends before."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            sock.settimeout(max(end - time.monotonic(), 0.01))
            if sock.recv(65536) == b'':
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def raw(server, data=b'', door='kafka'):
    host, port = server.addresses[door].rsplit(':', 1)
    sock = socket.create_connection((host, int(port)), 20)
    if data:
        sock.sendall(data)
    return sock


def many(server, count, kinds, door='kafka'):
    """Many sockets that send one of these each; from several addresses of loopback, which has ports enough for each."""
    host, port = server.addresses[door].rsplit(':', 1)
    socks = []
    for i in range(count):
        sock = socket.socket()
        sock.bind((f'127.0.0.{2 + i // 5000}', 0))
        sock.connect((host, int(port)))
        sock.settimeout(0.2)
        try:
            sock.sendall(kinds[i % len(kinds)])
        except OSError:
            pass
        socks.append(sock)
    return socks


def descriptors(need):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < need:
        raise Skip(f'{need} descriptors are needed, {hard} are allowed')
    if soft != resource.RLIM_INFINITY and soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def lying_lengths():
    """10,000 sockets hold a length that buys nothing: the largest, a negative one, a TLS hello; and 10,000 the largest
    that is allowed, with a byte of what it promises."""
    count = 10000
    descriptors(count + 500)
    lies = [b'\x7f\xff\xff\xff', b'\x80\0\0\0', b'\x16\x03\x01\0']
    with Server() as server:
        neighbour = Neighbour(server)
        before = server.resident_mb()
        said = []
        for name, kinds in (('refused', lies), ('100 MB', [struct.pack('>i', 104857600) + b'\0'])):
            socks = many(server, count, kinds)
            time.sleep(0.5)
            said.append(f'{name} {flat(server, before, 150, name)}')
            if name == 'refused':
                expect(all(closed(sock, 5) for sock in socks[-3:] + socks[:3]), 'a connection stays open')
            serves(server, name)
            for sock in socks:
                sock.close()
        neighbour.end(4.0)
        return '; '.join(said)


def serves(server, when):
    """A new client is served, with a small batch and a large one."""
    fresh = server.conn()
    for data in (batch([b'x']), batch([b'y' * 900000])):
        expect(fresh.produce('neighbour', 0, data)[0] == 0, f'{when}: a new client is not served')
    fresh.close()


def hoarders():
    """Strangers who hold all memory with frames they do not finish lose it to those who work."""
    with Server('-X', 'weir.memory.bytes=67108864') as server:
        neighbour = Neighbour(server)
        socks = many(server, 150, [struct.pack('>i', 104857600) + b'\0' * 200000])
        began = time.monotonic()
        serves(server, 'memory is held by others')
        took = time.monotonic() - began
        expect(took < 8, f'a new client waited {took:.1f} s')
        neighbour.end(8.0)
        for sock in socks:
            sock.close()
        return f'a large batch was served after {took:.1f} s, the neighbour never waited longer than {neighbour.slowest:.1f} s'


def slow_bytes():
    """A byte now and then does not keep a connection: the first request has 10 s. (A frame begun later has 30 s and then
    16 KiB a second, which the door's unit tests show with a clock of their own.)"""
    with Server() as server:
        sock = raw(server)
        whole = frame(API_VERSIONS, 0, 1, b'')
        began = time.monotonic()
        try:
            for byte in whole[:14]:
                sock.send(bytes([byte]))
                if closed(sock, 1.0):
                    break
        except OSError:
            pass
        took = time.monotonic() - began
        expect(took < 13.5, 'a byte a second kept the connection open')
        return f'cut after {took:.1f} s'


def answers_unread():
    """Requests without end, answers never read: the server stops reading, and holds no more than its cap."""
    with Server() as server:
        neighbour = Neighbour(server)
        conn = server.conn()
        expect(conn.create('large', 1) == 0, 'no topic')
        data = batch([os.urandom(900000)])
        for _ in range(30):
            expect(conn.produce('large', 0, data)[0] == 0, 'produce')
        before = server.resident_mb()
        part = struct.pack('>iqi', 0, 0, 50 * MB)
        fetch = struct.pack('>iiiib', -1, 0, 1, 50 * MB, 0) + array([string('large') + array([part])])
        requests = {'ApiVersions': frame(API_VERSIONS, 0, 1, b''), 'Metadata': frame(METADATA, 1, 1, struct.pack('>i', -1)),
                    'Fetch': frame(FETCH, 4, 1, fetch)}
        said = []
        for name, one in requests.items():
            socks = [raw(server) for _ in range(20)]
            sent = 0
            for sock in socks:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.settimeout(0.05)
                try:
                    for _ in range(400):
                        sent += sock.send(one * 50)
                except OSError:
                    pass
            said.append(f'{name} {flat(server, before, 200, name)}')
            for sock in socks:
                sock.close()
        neighbour.end()
        return '; '.join(said)


def few_descriptors():
    """More connections than descriptors: the surplus is refused at once, those that are there are served, files can
    still be opened, and when the surplus is gone others come in again."""
    if not os.path.exists('/usr/bin/prlimit'):
        raise Skip('prlimit is missing')
    with Server(wrap=['prlimit', '--nofile=200:200', '--']) as server:
        neighbour = Neighbour(server)
        held = server.conn()
        socks = []
        for _ in range(400):
            try:
                socks.append(raw(server))
            except OSError:
                break
        time.sleep(0.3)
        refused = sum(closed(sock, 0.001) for sock in socks)
        expect(refused >= 150, f'only {refused} of 400 connections were refused')
        for i in range(5):  # opens segments, snapshots and journal files
            expect(held.create(f'during-{i}', 3) == 0, 'no topic can be made')
            expect(held.produce(f'during-{i}', 0, batch([os.urandom(600000)]))[0] == 0, 'produce')
        for sock in socks:
            sock.close()
        time.sleep(0.3)
        server.conn().call(API_VERSIONS, 0, b'')
        neighbour.end()
        held.close()
        expect(server.stop() == 0, 'no clean stop')
        server.check()
        return f'{refused} of {len(socks)} refused'


def lying_counts():
    """Counts of 2^31-1, counts beyond the frame, millions of empty elements, tagged fields without end."""
    top = struct.pack('>i', 0x7fffffff)
    uv = b'\xff\xff\xff\xff\x07'  # the same as an unsigned varint
    empty = string('') * 500000
    cases = {
        'Metadata topics': (METADATA, 1, top),
        'Metadata topics, flexible': (METADATA, 9, b'\0' + uv),
        'tagged fields of a header': (METADATA, 9, uv),
        'tagged fields of a body': (API_VERSIONS, 3, b'\0' + b'\x02a\x02a' + uv),
        'length of a tagged field': (API_VERSIONS, 3, b'\0' + b'\x02a\x02a' + b'\x01\x00' + uv),
        'Metadata, many empty names': (METADATA, 1, struct.pack('>i', 500000) + empty),
        'Produce topics': (PRODUCE, 7, string(None) + struct.pack('>hi', -1, 1000) + top),
        'Produce partitions': (PRODUCE, 7, string(None) + struct.pack('>hi', -1, 1000) + struct.pack('>i', 1) + string('t') + top),
        'Produce records': (PRODUCE, 7, string(None) + struct.pack('>hi', -1, 1000) + struct.pack('>i', 1) + string('t') +
                            struct.pack('>ii', 1, 0) + top),
        'Fetch partitions': (FETCH, 4, struct.pack('>iiiib', -1, 0, 1, MB, 0) + struct.pack('>i', 1) + string('t') + top),
        'ListOffsets topics': (LIST_OFFSETS, 1, struct.pack('>i', -1) + top),
        'CreateTopics configs': (CREATE_TOPICS, 2, struct.pack('>i', 1) + string('t') + struct.pack('>ih', 1, 1) + array([]) + top),
        'CreateTopics, many replicas': (CREATE_TOPICS, 2, struct.pack('>i', 1) + string('t') + struct.pack('>ihii', -1, -1, 1, 0) +
                                        struct.pack('>i', 1000000) + b'\0' * 4000000 + array([]) + struct.pack('>ib', 1000, 0)),
        'CreateTopics, 2^31-1 partitions': (CREATE_TOPICS, 2, struct.pack('>i', 1) + string('vast') + top + struct.pack('>h', 1) +
                                            array([]) + array([]) + struct.pack('>ib', 1000, 0)),
    }
    with Server() as server:
        neighbour = Neighbour(server)
        before = server.resident_mb()
        answered = 0
        for name, (api, version, body) in cases.items():
            for _ in range(3):
                sock = raw(server, frame(api, version, 1, body))
                sock.settimeout(10)
                try:
                    answered += len(sock.recv(65536)) > 0
                except TimeoutError:
                    raise AssertionError(f'{name}: neither answered nor closed in 10 s') from None
                except OSError:
                    pass
                sock.close()
            expect(server.alive(), f'{name}: the server has ended')
            flat(server, before, 100, name)
        neighbour.end()
        return f'{len(cases)} kinds, {answered} of {3 * len(cases)} answered, the others closed; {flat(server, before, 100, "all")}'


def many_headers():
    """100,000 headers in one record are kept as they came."""
    with Server() as server:
        neighbour = Neighbour(server)
        conn = server.conn()
        expect(conn.create('headers', 1) == 0, 'no topic')
        data = batch_of(record(0, b'v', [(b'h', b'%d' % i) for i in range(100000)]), 1)
        began = time.monotonic()
        error, base = conn.produce('headers', 0, data)
        expect(error == 0 and base == 0, f'produce: error {error}')
        got = next(conn.batches('headers', 0))[1]
        took = time.monotonic() - began
        expect(got[61:] == data[61:], 'they came back otherwise')
        error, _, _ = conn.end_offset('headers', 0, int(time.time() * 1000) - 60000)
        expect(error == 0, f'a look-up by time: error {error}')
        neighbour.end()
        conn.close()
        expect(server.stop() == 0, 'no clean stop')
        server.check()
        return f'{len(data) >> 10} KiB, there and back in {took:.2f} s'


def zeros_gzip(size):
    """That many zero bytes, in gzip: a member of 16 MB over and over."""
    return gzip.compress(bytes(16 * MB), 9) * (size // (16 * MB))


def bombs():
    """What unpacks to a gigabyte: produced, fetched, looked up by time, verified at rest. Only what unpacks may notice,
    and it must have a cap."""
    packed = {1: zeros_gzip(1024 * MB)}
    # lz4, snappy, zstd by hand: frames that only claim a gigabyte.
    packed[2] = varint_unsigned(1 << 30) + b'\xfe\x01\0' * 300
    packed[3] = b'\x04\x22\x4d\x18\x68\x70' + struct.pack('<Q', 1 << 30) + b'\0'
    packed[4] = b'\x28\xb5\x2f\xfd\xe0' + struct.pack('<Q', 1 << 30) + b'\x02\0\x10\0' * 200
    with Server() as server:
        neighbour = Neighbour(server)
        conn = server.conn(30)
        before = server.resident_mb()
        now = int(time.time() * 1000)
        said = []
        for codec, data in packed.items():
            topic = f'bomb-{codec}'
            expect(conn.create(topic, 1) == 0, 'no topic')
            expect(len(data) < 1048500, f'codec {codec}: {len(data)} bytes are too many for a batch')
            began = time.monotonic()
            error, _ = conn.produce(topic, 0, batch_of(data, 1000, attributes=codec, ts_ms=now))
            took = time.monotonic() - began
            expect(error in (0, 2, 87) and took < 2, f'codec {codec}: error {error} after {took:.1f} s')
            flat(server, before, 100, f'produce, codec {codec}')
            if error == 0:
                # The batch's first and last time are the same, so look just below and at it.
                for at in (now - 1, now):
                    answer = conn.end_offset(topic, 0, at)
                    said.append(f'codec {codec} error {answer[0]}')
                flat(server, before, 150, f'look-up, codec {codec}')
        neighbour.end(5.0)
        conn.close()
        expect(server.stop() == 0, 'no clean stop')
        return f'look-ups: {", ".join(dict.fromkeys(said))}; {before:.0f} MB before'


def varint_unsigned(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def wrong_batches():
    """Batches that lie about themselves are refused in Kafka's terms, and the connection goes on."""
    good = batch([b'a', b'b'])

    def patched(at, form, value):
        out = bytearray(good)
        struct.pack_into(form, out, at, value)
        if at >= 21:
            struct.pack_into('>I', out, 17, crc32c(bytes(out[21:])))
        return bytes(out)

    cases = {
        'a wrong checksum': bytes(good[:-1]) + b'\xff',
        'magic 9': patched(16, 'b', 9),
        'a length beyond the field': patched(8, '>i', 0x7fffffff),
        'a negative length': patched(8, '>i', -1),
        'a count of 2^31-1': patched(57, '>i', 0x7fffffff),
        'a negative count': patched(57, '>i', -5),
        'a last offset that does not fit': patched(23, '>i', 77),
        'a control batch': patched(21, '>h', 0x20),
        'no records': batch_of(b'', 0),
        'bytes that are no batch': os.urandom(200),
        'nothing': b'',
        'half a batch': good[:40],
    }
    with Server() as server:
        conn = server.conn()
        expect(conn.create('strict', 1) == 0, 'no topic')
        errors = []
        for name, data in cases.items():
            error, _ = conn.produce('strict', 0, data)
            expect(error != 0, f'{name}: accepted')
            errors.append(error)
        error, base = conn.produce('strict', 0, good)
        expect(error == 0 and base == 0, f'afterwards: error {error}, offset {base}')
        conn.close()
        expect(server.stop() == 0, 'no clean stop')
        server.check()
        return 'errors ' + ' '.join(str(e) for e in errors)


TESTS = [lying_lengths, slow_bytes, hoarders, answers_unread, few_descriptors, lying_counts, many_headers, bombs, wrong_batches]
