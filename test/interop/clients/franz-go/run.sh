#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# franz-go and its admin package, pinned in go.mod; modules and build output stay in the cache.
. "$(dirname "$0")/../../lib.sh"

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
need go golang
export GOFLAGS=-mod=mod GOTOOLCHAIN=local GOCACHE=$cache/go-build
src=$cache/franz-go
bin=$src/check
mkdir -p "$src"
cp "$client_dir"/{main.go,go.mod,go.sum} "$src"
(cd "$src" && CGO_ENABLED=0 go build -o check .) >"$work/build.log" 2>&1 || notrun "go could not build it: $(tail -1 "$work/build.log")"
export bin
make_topic() { "$bin" "$address" create "$1" "$2"; }
produce_range() { "$bin" "$address" produce "$1" "$2" "$3"; }
member() { exec "$bin" "$address" member "$1" "$2"; }

for codec in default none gzip snappy lz4 zstd; do
    check "produce and consume, $codec" "$bin" "$address" roundtrip "$tag-$codec" $codec
done
check 'admin: topics, configs, partitions, records, log dirs' "$bin" "$address" admin "$tag-admin"
group_check
check 'admin: list, describe, offsets, delete a group' "$bin" "$address" groups "$tag-g"
