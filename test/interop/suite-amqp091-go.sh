#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amqp091-go's own integration tests (TestIntegration*), from the Go module.
. "$(dirname "$0")/suite.sh"

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
need go golang
export GOFLAGS=-mod=mod GOTOOLCHAIN=local GOCACHE=$cache/go-build
if [ ! -x "$dir/suite.test" ]; then
    rm -rf "$dir"
    from=$(go mod download -json github.com/rabbitmq/amqp091-go@v1.16.0 2>"$work/install.log" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
    [ -d "$from" ] || notrun "go could not fetch it: $(tail -1 "$work/install.log")"
    cp -r "$from" "$dir" && chmod -R u+w "$dir"
    (cd "$dir" && go test -c -tags integration -o suite.test .) >"$work/build.log" 2>&1 || notrun "go could not build it: $(tail -1 "$work/build.log")"
fi
cd "$dir" || exit 1
AMQP_URL=amqp://guest:guest@$address/ timeout -k 10 600 ./suite.test -test.v -test.timeout 9m -test.run '^TestIntegration' >"$work/run.log" 2>&1
awk '/^ *--- (PASS|FAIL|SKIP): / { sub(/:/, "", $2); print $3 "\t" ($2 == "SKIP" ? "SKIPPED" : $2 "ED") }' "$work/run.log" | sort -u >"$seen"
judge "amqp091-go 1.16.0, TestIntegration*"
