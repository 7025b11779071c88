#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rabbitmq-c by its command line tools, Debian's. They have no words for most of amqp.sh's list, so these are checks of
# their own: each of the five tools, and what their exit codes and output say.
. "$(dirname "$0")/../../lib.sh"

need amqp-publish amqp-tools
url=amqp://guest:guest@$address
printf '#!/bin/sh\ncat\necho\n' >"$work/line" # a message, and a new line; amqp-consume takes a command's options for its own
chmod +x "$work/line"
export url

same() { [ "$1" = "$2" ] || { echo "got '$1', expected '$2'"; return 1; }; }
publish() { amqp-publish -u "$url" -r "$q" "$@"; }
get() { amqp-get -u "$url" -q "$q"; }
declare_queue() { amqp-declare-queue -u "$url" -q "$q" "$@"; }
delete_queue() { amqp-delete-queue -u "$url" -q "$q" "$@"; }

roundtrip() {
    q=$tag-roundtrip
    same "$(declare_queue -d)" "$q" || return
    publish -p -C text/plain -b 'first' || return
    publish -b '' || return
    publish -b $'grün\n' || return
    same "$(get)" first || return
    same "$(get | wc -c)" 0 || return
    same "$(get)" grün || return
    get
    same $? 2 || return
    same "$(delete_queue)" 0
}
large() {
    q=$tag-large
    declare_queue -d || return
    head -c 3000000 /dev/urandom >"$work/in"
    publish -p <"$work/in" || return
    get >"$work/out" || return
    cmp "$work/in" "$work/out" || return
    delete_queue
}
consume() {
    q=$tag-consume
    local i
    declare_queue -d || return
    for i in 1 2 3 4 5; do publish -p -b "line $i" || return; done
    same "$(amqp-consume -u "$url" -q "$q" -p 1 -c 3 "$work/line")" $'line 1\nline 2\nline 3' || return
    same "$(amqp-consume -u "$url" -q "$q" -c 2 "$work/line")" $'line 4\nline 5' || return
    same "$(delete_queue)" 0
}
lines() { # line by line into an exchange and a queue of the server's naming
    q=$tag-lines
    (amqp-consume -u "$url" -e amq.topic -r "$q.#" -c 3 "$work/line" >"$work/lines" 2>&1) &
    local consumer=$!
    sleep 1
    printf 'a\nb\nc\n' | amqp-publish -u "$url" -e amq.topic -r "$q.x" -l || return
    wait $consumer || return
    same "$(grep -v 'queue name: amq.gen-' "$work/lines" | tr -d '\n')" abc
}
refusals() {
    q=$tag-refusals
    declare_queue -d || return
    declare_queue 2>&1 | grep 406 || { echo '406 expected'; return 1; }
    publish -b x || return
    delete_queue -e 2>&1 | grep 406 || { echo '406 expected'; return 1; }
    same "$(delete_queue)" 1 || return
    get 2>&1 | grep 404 || { echo '404 expected'; return 1; }
    amqp-get -u "${url/guest:guest/guest:wrong}" -q "$q" 2>&1 | grep 403 || { echo '403 expected'; return 1; }
    amqp-get -u "$url/nowhere" -q "$q" 2>&1 | grep 530 || { echo '530 expected'; return 1; }
}

check_fn 'declare, publish, get, delete' roundtrip
check_fn 'a body of 3 MB' large
check_fn 'consume with prefetch and acks' consume
check_fn 'lines through amq.topic to a queue named by the server' lines
check_fn '406, 404, 403 for a wrong password, 530 for an unknown vhost' refusals
