#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every acknowledgement against the system calls before it.

Each record carries a mark of its own, and strace shows what the server writes, so a write that covers a record is one
that contains its mark. The first byte of an answer may leave (sendmsg begins) only after
  - a write to a journal file that was opened with O_DSYNC, containing the mark, has returned, or
  - direct mode: a write to a segment containing the mark, and after it an fdatasync of that segment, have returned, and
    so has an O_DSYNC write to the journal that began after the request was read (its reference).
Which sendmsg carries which answer follows from the bytes counted on that connection. strace sees the calls of all threads
in one order, in which what one call causes comes after it; that order is compared, not clocks.

The same check is then run on a topic with flush.messages, whose acknowledgements do not wait for the disk: it must
complain there, else it could not complain at all."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'scenario'))
import rawkafka as rk  # noqa: E402

CALLS = 'openat,close,accept4,accept,recvfrom,recvmsg,read,readv,sendmsg,sendto,write,writev,pwrite64,pwritev,pwritev2,' \
        'fdatasync,fsync'
MARK = re.compile(r'weirMARK\d{8}')


class Sent:
    """One request: its mark, its connection's port, where it ends among the bytes sent and its answer begins."""

    def __init__(self, mark, port, request_end, answer_begin):
        self.mark, self.port, self.request_end, self.answer_begin = mark, port, request_end, answer_begin


class Client(rk.Conn):
    marks = 0

    def __init__(self, address):
        super().__init__(address)
        self.port = self.sock.getsockname()[1]
        self.sent = 0
        self.open = []

    def post(self, topic, partition, size):
        Client.marks += 1
        mark = f'weirMARK{Client.marks:08d}'
        data = rk.batch([mark.encode() + b'.' * size])
        self.correlation += 1
        raw = rk.frame(rk.PRODUCE, 7, self.correlation, rk.produce_body(topic, partition, data))
        self.sock.sendall(raw)
        self.sent += len(raw)
        self.open.append(Sent(mark, self.port, self.sent, None))

    def take(self):
        begin = self.received
        error, _ = rk.produce_answer(self.answer()[1])
        rk.expect(error == 0, f'produce: error {error}')
        sent = self.open.pop(0)
        sent.answer_begin = begin
        return sent


def one_in_flight(address, topic, count, size):
    client = Client(address)
    out = []
    for i in range(count):
        client.post(topic, i % 3, size)
        out.append(client.take())
    return out


def pipelined(address, topic, count, size, clients=4, window=8):
    all_clients = [Client(address) for _ in range(clients)]
    out = []
    for i in range(count + window):
        for client in all_clients:
            if i < count:
                client.post(topic, i % 3, size)
            if i >= window:
                out.append(client.take())
    return out


# ---- the trace

UNFINISHED = re.compile(r'^(.*) <unfinished \.\.\.>$')
RESUMED = re.compile(r'^(\d+) +<\.\.\. (\w+) resumed>(.*)$')


class Call:
    def __init__(self, name, text, begin, end):
        self.name, self.text, self.begin, self.end = name, text, begin, end
        result = re.search(r'= (-?\d+)[^=]*$', text)
        self.result = int(result.group(1)) if result else -1
        fd = re.match(r'(\d+)', text)
        self.fd = int(fd.group(1)) if fd else -1


def calls_of(path):
    """The calls in the order in which they ended; begin and end are line numbers."""
    waiting = {}
    with open(path, encoding='latin-1') as f:
        for number, line in enumerate(f):
            line = line.rstrip('\n')
            resumed = RESUMED.match(line)
            if resumed:
                name, text, begin = waiting.pop(resumed.group(1), (None, '', 0))
                if name == resumed.group(2):
                    yield Call(name, text + resumed.group(3), begin, number)
                continue
            part = re.match(r'^(\d+) +(\w+)\((.*)$', line)
            if not part:
                continue
            cut = UNFINISHED.match(part.group(3))
            if cut:
                waiting[part.group(1)] = (part.group(2), cut.group(1), number)
            else:
                yield Call(part.group(2), part.group(3), number, number)


class Trace:
    """What matters of a run: durable writes by mark, bytes read and sent by port, each with its place in the order."""

    def __init__(self, path):
        self.files, self.socks = {}, {}
        self.journal = []  # (begin, end) of durable writes
        self.journal_marks = {}  # mark: end
        self.segment_marks = {}  # mark: (file, end)
        self.syncs = {}  # file: [(begin, end)]
        self.read, self.sends = {}, {}  # port: [(bytes before, bytes after, place)]
        for call in calls_of(path):
            self.note(call)

    def note(self, call):
        if call.result < 0:
            return
        if call.name == 'openat':
            name = re.search(r'"([^"]*)", ([A-Z_|]+)', call.text)
            self.files[call.result] = (name.group(1), name.group(2))
            self.socks.pop(call.result, None)
        elif call.name.startswith('accept'):
            port = re.search(r'htons\((\d+)\)', call.text)
            if port:
                self.socks[call.result] = int(port.group(1))
                self.files.pop(call.result, None)
        elif call.fd in self.socks:
            self.note_socket(call)
        elif call.fd in self.files:
            self.note_file(call)

    def note_socket(self, call):
        port = self.socks[call.fd]
        if call.name == 'close':
            del self.socks[call.fd]
        elif call.name.startswith('re'):
            had = self.read.setdefault(port, [])
            before = had[-1][1] if had else 0
            had.append((before, before + call.result, call.end))
        else:
            had = self.sends.setdefault(port, [])
            before = had[-1][1] if had else 0
            had.append((before, before + call.result, call.begin))

    def note_file(self, call):
        name, flags = self.files[call.fd]
        if call.name == 'close':
            del self.files[call.fd]
        elif call.name in ('fdatasync', 'fsync'):
            self.syncs.setdefault(name, []).append((call.begin, call.end))
        elif 'write' in call.name and name.endswith('.log'):
            for mark in MARK.findall(call.text):
                self.segment_marks.setdefault(mark, (name, call.end))
        elif 'write' in call.name and 'O_DSYNC' in flags:
            self.journal.append((call.begin, call.end))
            for mark in MARK.findall(call.text):
                self.journal_marks.setdefault(mark, call.end)

    @staticmethod
    def place(spans, byte):
        return next((at for before, after, at in spans if before <= byte < after), None)

    def covered(self, sent):
        """None, or why the acknowledgement came too early; and how it was covered."""
        leaves = self.place(self.sends.get(sent.port, []), sent.answer_begin)
        read = self.place(self.read.get(sent.port, []), sent.request_end - 1)
        if leaves is None or read is None:
            return 'its bytes are not in the trace', None
        if self.journal_marks.get(sent.mark, leaves) < leaves:
            return None, 'journal'
        name, written = self.segment_marks.get(sent.mark, (None, leaves))
        if written >= leaves:
            return 'no write with its mark had returned', None
        if not any(begin > written and end < leaves for begin, end in self.syncs.get(name, [])):
            return 'its segment was written, but no sync had returned', None
        if not any(begin > read and end < leaves for begin, end in self.journal):
            return 'its segment was synced, but no reference was durable', None
        return None, 'direct'


# ---- the runs


def traced(name, load, shards, **configs):
    path = os.path.join(os.environ['WEIR_TEST_DIR'], name.replace(' ', '-') + '.strace')
    wrap = ['strace', '-f', '-qq', '-s', '1000000', '-e', 'trace=' + CALLS, '-e', 'signal=none', '-o', path]
    with rk.Server('--shards', str(shards), '-X', 'weir.journal.direct.min.bytes=65536', wrap=wrap) as server:
        conn = server.conn()
        rk.expect(conn.create('marked', 3, **configs) == 0, 'the topic cannot be created')
        sent = load(server.address, 'marked')
        conn.close()
        server.signal(signal.SIGTERM)
        server.process.wait(30)
    trace = Trace(path)
    how = {'journal': 0, 'direct': 0}
    early = []
    for one in sent:
        why, by = trace.covered(one)
        if why:
            early.append(f'{one.mark}: {why}')
        else:
            how[by] += 1
    print(f'acks {name}: {len(sent)} acknowledgements, {how["journal"]} after their journal write, '
          f'{how["direct"]} after their segment\'s sync and its reference, {len(early)} too early '
          f'({len(trace.journal)} durable writes)')
    if not early:
        os.unlink(path)
    return sent, how, early


def main():
    good = True
    for name, load, shards, direct in (
            ('one in flight', lambda a, t: one_in_flight(a, t, 100, 200), 1, False),
            ('pipelined', lambda a, t: pipelined(a, t, 50, 200), 3, False),
            ('large', lambda a, t: one_in_flight(a, t, 12, 100000), 1, True),
            ('large pipelined', lambda a, t: pipelined(a, t, 6, 100000, 3, 3), 3, True)):
        _, how, early = traced(name, load, shards)
        for line in early[:5]:
            print('  ' + line)
        good = good and not early and (how['direct'] > 0) == direct
    # The planted fault: a topic that asked for it is acknowledged before the disk has it.
    _, _, early = traced('relaxed', lambda a, t: one_in_flight(a, t, 100, 200), 1, flush_messages=1000)
    if not early:
        print('FAIL acks: nothing was too early on a relaxed topic, so this check cannot see it')
        good = False
    print('ok   acks: never before the durable write; seen to complain where flush.messages allows it' if good
          else 'FAIL acks')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
