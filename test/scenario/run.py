# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios: run.py [NAME]… Each has a server and a process of its own, a few at a time; each ends by itself, or is
ended. A line for each says what was seen; the closing line counts."""

import concurrent.futures
import multiprocessing
import signal
import sys
import time
import traceback

import amqp_strangers
import commands
import host
import strangers
from rawkafka import Skip

TESTS = host.TESTS + strangers.TESTS + amqp_strangers.TESTS + commands.TESTS
LIMIT_S = 90
AT_ONCE = 3


def too_long(*_):
    raise AssertionError(f'no end after {LIMIT_S} s')


def run(name):
    test = next(t for t in TESTS if t.__name__ == name)
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_S)
    began = time.monotonic()
    try:
        verdict, said = 'ok  ', test() or ''
    except Skip as e:
        verdict, said = 'SKIP', str(e)
    except Exception as e:  # pylint: disable=broad-except
        verdict, said = 'FAIL', ''.join(traceback.format_exception(e)).rstrip()
    signal.alarm(0)
    return f'{verdict} {name}: {said} ({time.monotonic() - began:.1f} s)'


def main():
    names = [t.__name__ for t in TESTS]
    for name in sys.argv[1:]:
        if name not in names:
            sys.exit(f'there is no scenario {name}; there are: {" ".join(names)}')
    count = {'ok  ': 0, 'FAIL': 0, 'SKIP': 0}
    with concurrent.futures.ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context('fork')) as pool:
        for line in pool.map(run, sys.argv[1:] or names):
            print(line, flush=True)
            count[line[:4]] += 1
    print(f'{count["ok  "]} passed, {count["FAIL"]} failed')
    return count['FAIL'] > 0


if __name__ == '__main__':
    sys.exit(main())
