# SPDX-License-Identifier: Apache-2.0
"""The records that both Python clients send and compare; librdkafka/check.c has the same set."""

import random
import time

BIG_BYTES = 990_000
BASE_MS = int(time.time() * 1000) - 60_000


def records():
    """(key, value, headers) in order: nulls, empties, every byte, three big ones that no codec shrinks, many small ones."""
    rng = random.Random(1)
    rows = [
        (b"k", b"v", [("h1", b"a"), ("none", None), ("h1", b"b"), ("empty", b"")]),
        (None, b"null key", []),
        (b"tombstone", None, []),
        (b"", b"", []),
        (b"binary", bytes(range(256)), []),
    ]
    rows += [(b"big", rng.randbytes(BIG_BYTES), []) for _ in range(3)]
    rows += [(b"small", b"w" * 1024, []) for _ in range(100)]
    return rows


def compare(index, offset, key, value, headers, timestamp_ms):
    want_key, want_value, want_headers = records_once()[index]
    assert offset == index, f"offset {offset}, {index} expected"
    assert key == want_key, f"record {index}: key {key!r}, {want_key!r} expected"
    if value != want_value:
        lengths = (None if v is None else len(v) for v in (value, want_value))
        raise AssertionError("record %d: value differs (lengths %s, %s)" % (index, *lengths))
    assert list(headers or []) == want_headers, f"record {index}: headers {headers!r}"
    assert timestamp_ms == BASE_MS + index, f"record {index}: timestamp {timestamp_ms}"


def drop_null_headers():
    """For a client that cannot send a header without a value."""
    rows = records_once()
    rows[0] = (*rows[0][:2], [h for h in rows[0][2] if h[1] is not None])


_cached = []


def records_once():
    if not _cached:
        _cached.extend(records())
    return _cached
