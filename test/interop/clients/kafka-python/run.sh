#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kafka-python with its codecs, pinned, from PyPI into a virtual environment in the cache.
. "$(dirname "$0")/../../lib.sh"

need python3 python3
venv=$cache/kafka-python
if [ ! -f "$venv/ready" ]; then
    { python3 -m venv "$venv" && "$venv/bin/pip" install -q kafka-python==3.0.12 lz4==4.4.5 zstandard==0.25.0 python-snappy==0.7.3 crc32c==2.9.post0 && touch "$venv/ready"; } >"$work/install.log" 2>&1 ||
        notrun "pip could not install it: $(tail -1 "$work/install.log")"
fi
py() { "$venv/bin/python" "$client_dir/check.py" "$address" "$@"; }
export venv
make_topic() { py create "$1" "$2"; }
produce_range() { py produce "$1" "$2" "$3"; }
member() { exec "$venv/bin/python" "$client_dir/check.py" "$address" member "$1" "$2"; }

for codec in none gzip snappy lz4 zstd; do
    check_fn "produce and consume, $codec" py roundtrip "$tag-$codec" $codec
done
check_fn 'admin: topics, configs, partitions, records' py admin "$tag-admin"
group_check
check_fn 'admin: list, describe, offsets, delete a group' py groups "$tag-g"
