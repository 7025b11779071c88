# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The one list of checks of all AMQP clients. A client's run.sh sources lib.sh and this, installs what it needs, sets
# `cannot` for what its library has no word for, and calls `amqp_checks COMMAND...`: COMMAND URL CHECK TAG then does one
# check in a process of its own, with queues and exchanges whose names begin with TAG, and ends with 0 when all was as it
# should be. What each check asks is written out once in amqp_checks.py; the other languages do the same.

url=amqp://guest:guest@$address/
export url
declare -A cannot=()

amqp_list() {
    cat <<'END'
confirms     publish persistent messages with confirms, consume them in order with acks
return       mandatory: 312 NO_ROUTE comes back before the confirm
properties   all properties and headers of all types come back as they went
empty        empty body, no properties, empty strings, null in a header
large        a body of 3 MB
prefetch     qos of 3: three, and one more per ack; changed on a consumer that is there
requeue      reject and nack with requeue: again, redelivered, in the old place
multiple     ack and nack of many at once
closed       what a closed channel and a killed connection held comes again
deadletter   reject without requeue: dead-lettered, with x-death
ttl          messages expire by their own and by the queue's time, into the dead letters
priority     x-max-priority: higher first
get          get, get on empty, message counts, purge
exclusive    405 for others' exclusive queues, 403 beside an exclusive consumer
passive      404 when missing, 406 when declared otherwise; the connection lives on
cancelled    the server's cancel when a queue is deleted under its consumer
exchanges    direct, fanout, topic, headers, exchange to exchange, unbind
lifetime     names made by the server, auto-delete, if-unused, if-empty, x-expires
replyto      direct reply-to
END
}

amqp_checks() {
    local name words
    while read -r name words; do
        if [ -n "${cannot[$name]:-}" ]; then
            skip "$name: $words" "${cannot[$name]}"
        else
            CHECK_TIMEOUT=60 check "$name: $words" "$@" "$url" "$name" "$tag-$name"
        fi
    done < <(amqp_list)
}

# python_client PACKAGE==VERSION...: installed into the cache; check.py beside run.sh is the adapter.
python_client() {
    need python3 python3
    local venv
    venv=$cache/$(basename "$client_dir")
    if [ ! -f "$venv/ready" ]; then
        { python3 -m venv "$venv" && "$venv/bin/pip" install -q "$@" && touch "$venv/ready"; } >"$work/install.log" 2>&1 ||
            notrun "pip could not install it: $(tail -1 "$work/install.log")"
    fi
    amqp_checks "$venv/bin/python" "$client_dir/check.py"
}
