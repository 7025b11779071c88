#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amqplib's own tests that talk to a server (2.2.0 is the last npm package that carries them). channel_api follows the URL;
# the others say localhost:5672, so they are run when that is the server, and else are worse than RabbitMQ.
. "$(dirname "$0")/suite.sh"

need node nodejs
need npm npm
if [ ! -f "$dir/ready" ]; then
    rm -rf "$dir"
    mkdir -p "$dir"
    (cd "$dir" && npm pack --silent amqplib@2.2.0 && tar xzf amqplib-2.2.0.tgz && touch ready) >"$work/install.log" 2>&1 || notrun "npm could not fetch it: $(tail -1 "$work/install.log")"
fi
cd "$dir/package" || exit 1
suites=(channel_api)
if [ "${address##*:}" = 5672 ]; then suites=(channel_api callback_api connect recovery); fi
for name in "${suites[@]}"; do
    URL=amqp://guest:guest@$address timeout -k 10 300 node --test --test-reporter=junit "test/$name.test.js" >"$work/$name.xml" 2>>"$work/run.log"
    verdicts "$work/$name.xml" 2>>"$work/run.log" | sed "s/^/$name: /"
done >"$seen"
if [ ${#suites[@]} = 1 ]; then
    skip 'amqplib 2.2.0: callback_api, connect, recovery' "they want the server on port 5672"
    grep "^channel_api: " "$table" >"$work/table.tsv"
    table=$work/table.tsv
fi
judge "amqplib 2.2.0, ${suites[*]}"
