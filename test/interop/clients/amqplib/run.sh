#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amqplib for node, pinned, from npm into the cache.
. "$(dirname "$0")/../../lib.sh"
. "$here/clients/amqp.sh"

need node nodejs
need npm npm
dir=$cache/amqplib
if [ ! -f "$dir/ready" ]; then
    { mkdir -p "$dir" && cp "$client_dir/package.json" "$dir" && npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund && touch "$dir/ready"; } \
        >"$work/install.log" 2>&1 || notrun "npm could not install it: $(tail -1 "$work/install.log")"
fi
export NODE_PATH=$dir/node_modules
amqp_checks node "$client_dir/check.js"
