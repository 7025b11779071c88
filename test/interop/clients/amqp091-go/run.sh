#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amqp091-go, pinned in go.mod; modules and build output stay in the cache.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
need go golang
export GOFLAGS=-mod=mod GOTOOLCHAIN=local GOCACHE=$cache/go-build
src=$cache/amqp091-go
mkdir -p "$src"
cp "$client_dir"/{*.go,go.mod,go.sum} "$src"
(cd "$src" && CGO_ENABLED=0 go build -o check .) >"$work/build.log" 2>&1 || notrun "go could not build it: $(tail -1 "$work/build.log")"
amqp_checks "$src/check"
