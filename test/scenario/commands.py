# SPDX-License-Identifier: Apache-2.0
"""What people do to `weir queue`: output that cannot be written, input that cannot be read, names that are none, a command
that is killed half-way. No message is lost by it, and scripts hear what went wrong."""

import os
import signal
import subprocess
import time

from rawamqp import Amqp, Server, consume, publish
from rawkafka import expect

OK, USAGE, DATAERR, IOERR = 0, 64, 65, 74


def weir_queue(server, *words, **more):
    command = [server.binary(), 'queue', *words, '--amqp', server.addresses['amqp']]
    more = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, **more}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=30, check=False, **more)


def ready(conn, queue):
    """How many messages wait, once what was given back has come."""
    time.sleep(0.3)
    return conn.declare(queue)[0]


def command_output():
    """Whoever takes messages and cannot write them down has not taken them."""
    with Server() as server:
        conn = Amqp(server).open()
        conn.declare('q')
        for i in range(3):
            expect(weir_queue(server, 'publish', 'q', f'm{i}').returncode == OK, 'publish')
        with open('/dev/full', 'w', encoding='ascii') as full:
            done = weir_queue(server, 'get', 'q', '--count', '9', '--take', 'yes', stdout=full)
        expect(done.returncode == IOERR, f'ended with {done.returncode}: {done.stderr}')
        expect(ready(conn, 'q') == 3, 'messages were taken that nobody has seen')
        read, write = os.pipe()
        os.close(read)
        done = weir_queue(server, 'get', 'q', '--take', 'yes', stdout=write)
        os.close(write)
        expect(done.returncode != OK, 'a broken pipe is no success')
        expect(ready(conn, 'q') == 3, 'a message was taken that nobody has seen')
        done = weir_queue(server, 'get', 'q', '--count', '2', '--take', 'yes')
        expect(done.returncode == OK and 'm0' in done.stdout and 'm1' in done.stdout, f'{done.stdout}')
        expect(ready(conn, 'q') == 1, 'two were taken')
        return 'taken when written'


def command_input():
    """What cannot be read, or fits nowhere, is not published in part."""
    with Server() as server:
        conn = Amqp(server).open()
        conn.declare('q')
        cases = [(('publish', 'q', '--file', server.home), IOERR), (('publish', 'q', '--file', '/nonexistent'), 66),
                 (('publish', 'q', 'x', '--header', 'h=' + 'y' * 70000), DATAERR),
                 (('publish', 'q', 'x', '--routing-key', 'k' * 256), USAGE), (('get', 'q' * 256), USAGE),
                 (('publish', 'q', 'x', '--exchange', 'x' * 256), USAGE), (('get', 'q', '--vhost', 'v' * 256), USAGE)]
        for words, code in cases:
            done = weir_queue(server, *words)
            expect(done.returncode == code, f'{words[0]} {words[-1][:9]} ended with {done.returncode}, not {code}: {done.stderr}')
        expect(ready(conn, 'q') == 0, 'something was published')
        return f'{len(cases)} refused'


def command_killed():
    """A redrive that is killed again and again: every message arrives, in order, and one a kill twice at most."""
    count, kills = 2000, 0
    with Server() as server:
        conn = Amqp(server, 60).open()
        conn.declare('dead')
        conn.declare('home')
        conn.send(b''.join(publish(1, 'dead', str(i).encode(), True) for i in range(count)))
        while ready(conn, 'dead') > 0:
            command = [server.binary(), 'queue', 'redrive', 'dead', '--to', 'home', '--amqp', server.addresses['amqp']]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as redrive:
                time.sleep(0.05 + 0.05 * kills)
                kills += redrive.poll() is None
                redrive.send_signal(signal.SIGKILL)
        there = ready(conn, 'home')
        conn.send(consume(1, 'home', True))
        bodies = [int(conn.body()) for _ in range(there)]
        firsts = list(dict.fromkeys(bodies))
        expect(firsts == list(range(count)), f'{len(firsts)} of {count} are there, or not in order')
        expect(there - count <= kills, f'{there - count} came twice after {kills} kills')
        return f'{kills} kills, {there - count} of {count} came twice'


TESTS = [command_output, command_input, command_killed]
