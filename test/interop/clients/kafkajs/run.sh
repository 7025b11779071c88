#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kafkajs, pinned, from npm into the cache.
. "$(dirname "$0")/../../lib.sh"

need node nodejs
need npm npm
dir=$cache/kafkajs
if [ ! -f "$dir/ready" ]; then
    { mkdir -p "$dir" && cp "$client_dir/package.json" "$dir" && npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund && touch "$dir/ready"; } \
        >"$work/install.log" 2>&1 || notrun "npm could not install it: $(tail -1 "$work/install.log")"
fi
export NODE_PATH=$dir/node_modules KAFKAJS_NO_PARTITIONER_WARNING=1
js() { node "$client_dir/check.js" "$address" "$@"; }
make_topic() { js create "$1" "$2"; }
produce_range() { js produce "$1" "$2" "$3"; }
member() { exec node "$client_dir/check.js" "$address" member "$1" "$2"; }

for codec in none gzip; do
    check_fn "produce and consume, $codec" js roundtrip "$tag-$codec" $codec
done
for codec in snappy lz4 zstd; do
    skip "produce and consume, $codec" 'a plug-in that is not part of kafkajs'
done
check_fn 'admin: topics, configs, partitions, records' js admin "$tag-admin"
group_check
check_fn 'admin: list, describe, offsets, delete a group' js groups "$tag-g"
