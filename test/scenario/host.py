# SPDX-License-Identifier: Apache-2.0
"""What a machine does to a server: a second one on the same directory, a directory that cannot be written, a disk that
fills up, a process that stands still for ten seconds."""

import os
import shutil
import signal
import subprocess
import time

from rawkafka import Server, Skip, batch, expect

MB = 1 << 20
STORAGE_ERROR = 56


def refused(server, *words, user=None):
    """Starts a further server that must end by itself, soon, with a message of these words."""
    command = [server.binary(), 'serve', '--data', server.data, '--kafka', '127.0.0.1:0', '--amqp', 'none']
    if user is not None:
        command = ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups', *command]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    said = done.stderr.strip()
    expect(done.returncode > 0, f'it ended with {done.returncode}: {said}')
    expect(time.monotonic() - began < 5, 'it took more than 5 s to refuse')
    for word in words:
        expect(word in said, f'"{word}" is not in its message: {said}')
    return said


class Unstarted(Server):
    def start(self, expect=True, seconds=20):
        return False

    def close(self):
        shutil.rmtree(self.home, ignore_errors=True)


def second_server():
    """A second server on the same directory is refused by name; the first notices nothing."""
    with Server() as server:
        conn = server.conn()
        conn.create('one', 1)
        said = refused(server, server.data)
        check = subprocess.run([server.binary(), 'check', server.data], capture_output=True, text=True, timeout=20, check=False)
        expect(check.returncode > 0 and server.data in check.stderr, f'weir check beside a server: {check.stderr}')
        expect(conn.produce('one', 0, batch([b'x'])) == (0, 0), 'the first server is hurt')
        server.kill()  # what a dead server held is free
        expect(server.start(), 'no start after a kill')
        return said


def unwritable():
    """Where nothing can be written there is no start: below a file, without permission, on a read-only file system."""
    said = []
    with Unstarted() as server:
        open(os.path.join(server.home, 'file'), 'wb').close()
        server.data = os.path.join(server.home, 'file', 'data')
        said.append(refused(server, server.data))
        server.data = os.path.join(server.home, 'locked')
        os.mkdir(server.data, 0o555)
        if os.getuid() != 0:
            said.append(refused(server, server.data))
        elif shutil.which('setpriv'):
            shutil.copy(server.binary(), '/tmp/weir-unwritable')
            real, os.environ['WEIR'] = os.environ.get('WEIR'), '/tmp/weir-unwritable'
            holder = '/tmp/weir-unwritable-data'
            os.makedirs(holder, 0o555, exist_ok=True)
            server.data = holder
            try:
                said.append(refused(server, holder, user=65534))
            finally:
                os.environ['WEIR'] = real or ''
                os.unlink('/tmp/weir-unwritable')
                shutil.rmtree(holder)
    return ' | '.join(said)


# ---- a disk that fills up


class Disk:
    """A small file system of its own, with a ballast that takes room and gives it back."""

    def __init__(self, path, size_mb):
        self.path = path
        os.makedirs(path, exist_ok=True)
        done = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size_mb}m', 'weir-test', path], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Skip('a file system cannot be mounted here: ' + done.stderr.strip())

    def fill(self):
        """Takes all the room that is left."""
        with open(os.path.join(self.path, 'ballast'), 'ab') as f:
            for size in (MB, 4096):
                try:
                    while True:
                        os.write(f.fileno(), bytes(size))
                except OSError:
                    pass

    def drain(self):
        os.unlink(os.path.join(self.path, 'ballast'))

    def close(self):
        subprocess.run(['umount', '-l', self.path], check=False)


class Book:
    """What was acknowledged, and whether it is there."""

    def __init__(self):
        self.values, self.number = {}, 0

    def produce(self, conn, topic, size=100000):
        self.number += 1
        value = b'%08d' % self.number + os.urandom(size)
        error, offset = conn.produce(topic, 0, batch([value]))
        if error == 0:
            self.values.setdefault(topic, {})[offset] = value
        return error

    def audit(self, conn, topic):
        left = dict(self.values.get(topic, {}))
        for base, data in conn.batches(topic, 0):
            value = left.pop(base, None)
            expect(value is not None and value in data, f'{topic}: what lies at offset {base} was not acknowledged so')
        expect(not left, f'{topic}: {len(left)} acknowledged records are missing')
        return len(self.values.get(topic, {}))


def until(seconds, what, attempt):
    end = time.monotonic() + seconds
    while True:
        last = attempt()
        if last == 0:
            return
        expect(time.monotonic() < end, f'{what}: still {last} after {seconds} s')
        time.sleep(0.1)


def full_disk():
    """Appends are refused in Kafka's terms, reads and deletions go on, nothing acknowledged is lost, also by a kill on the
    full disk, and when there is room again it goes on."""
    if os.getuid() != 0:
        raise Skip('mounting a small file system needs root')
    settings = ('-X', 'weir.journal.file.bytes=4194304', '-X', 'weir.checkpoint.min.interval.ms=200')
    with Unstarted() as place:
        disk = Disk(os.path.join(place.home, 'disk'), 96)
        try:
            with Server(*settings, data=os.path.join(disk.path, 'data')) as server:
                return full_disk_story(server, disk)
        finally:
            disk.close()


def full_disk_story(server, disk):
    book = Book()
    conn = server.conn(40)
    for topic in ('keep', 'spare'):
        expect(conn.create(topic, 1, segment_bytes=MB) == 0, 'no topic')
    for i in range(100):
        expect(book.produce(conn, ('keep', 'spare')[i % 2]) == 0, 'produce with room')
    time.sleep(1)
    disk.fill()
    errors = set()
    for _ in range(400):  # the journal has its room, so it takes a while
        error = book.produce(conn, 'keep')
        if error:
            errors.add(error)
        if len(errors) > 0 and error:
            break
    expect(errors == {STORAGE_ERROR}, f'a full disk: errors {errors or "none in 40 MB"}')
    accepted = book.audit(conn, 'keep')
    expect(conn.delete('spare') == 0, 'a topic cannot be deleted on a full disk')
    until(20, 'after a deletion', lambda: book.produce(conn, 'keep'))
    disk.fill()
    for _ in range(400):
        if book.produce(conn, 'keep') != 0:
            break
    conn.close()
    server.kill()
    restarted = server.start(expect=False)
    if restarted:
        conn = server.conn(40)
        book.audit(conn, 'keep')
        conn.close()
    else:
        expect(server.process.poll() is not None, 'a start on a full disk hangs')
    disk.drain()
    if not restarted:
        server.start()
    conn = server.conn(40)
    book.audit(conn, 'keep')
    until(20, 'with room again', lambda: book.produce(conn, 'keep'))
    after = book.audit(conn, 'keep')
    conn.close()
    expect(server.stop() == 0, 'no clean stop')
    server.check()
    return f'refused after {accepted} records, read all; a start on the full disk ' \
           f'{"serves" if restarted else "is refused"}; {after} in the end'


# ---- standing still


def standing_still():
    """The server stands still for ten seconds, as on a laptop that slept, beyond the session of a consumer group: what was
    acknowledged before, and what is sent after, all reaches the group."""
    if not shutil.which('kcat'):
        raise Skip('kcat is missing')
    with Server('-X', 'group.initial.rebalance.delay.ms=100') as server:
        conn = server.conn(60)
        expect(conn.create('sleepy', 4) == 0, 'no topic')
        members = []
        for i in range(2):
            out = open(os.path.join(server.home, f'member-{i}'), 'wb')
            members.append(subprocess.Popen(
                ['kcat', '-q', '-u', '-b', server.address, '-X', 'session.timeout.ms=6000', '-X',
                 'heartbeat.interval.ms=1000', '-X', 'auto.offset.reset=earliest', '-G', 'sleepers', 'sleepy'],
                stdout=out, stderr=subprocess.DEVNULL))
            out.close()
        try:
            wanted = set()

            def send(count):
                for i in range(count):
                    value = b'r%d' % len(wanted)
                    expect(conn.produce('sleepy', i % 4, batch([value]))[0] == 0, 'produce')
                    wanted.add(value)

            def missing():
                seen = set()
                for i in range(2):
                    with open(os.path.join(server.home, f'member-{i}'), 'rb') as f:
                        seen.update(f.read().split())
                expect(seen <= wanted, 'the group read what nobody sent')
                return len(wanted - seen)

            send(200)
            until(20, 'records missing before', missing)
            send(100)
            server.signal(signal.SIGSTOP)
            time.sleep(10)
            server.signal(signal.SIGCONT)
            began = time.monotonic()
            send(100)
            until(30, 'records missing after', missing)
            return f'all {len(wanted)} records reached the group, {time.monotonic() - began:.1f} s after it went on'
        finally:
            for member in members:
                member.terminate()
            for member in members:
                member.wait()


TESTS = [standing_still, second_server, unwritable, full_disk]
