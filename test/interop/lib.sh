# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What every clients/NAME/run.sh shares. Such a script gets HOST:PORT and an empty folder, and says what it saw in lines
# of tabs: "PASS name", "FAIL name reason", "SKIP name reason", or one "NOTRUN reason" where the machine lacks the
# client. run.sh counts these lines and nothing else, so a script that dies early has its silence counted against it.
# The group check is written once here: a client brings three commands (make a topic, produce a range, be a member).

set -uo pipefail
address=${1:?HOST:PORT}
work=${2:?folder for logs and data}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
client_dir=$(cd "$(dirname "$0")" && pwd)
cache=${INTEROP_CACHE:-$here/.cache}
mkdir -p "$work" "$cache"
tag=$(basename "$client_dir" | tr -cd 'a-z')-$$-$(date +%s)
export address work tag here client_dir cache

pass() { printf 'PASS\t%s\n' "$1"; }
fail() { printf 'FAIL\t%s\t%s\n' "$1" "$(printf %s "${2:-}" | tr '\t\n' '  ' | cut -c1-300)"; }
skip() { printf 'SKIP\t%s\t%s\n' "$1" "$2"; }
notrun() { printf 'NOTRUN\t%s\n' "$1"; exit 0; }

need() { # COMMAND PACKAGE: or this client is not run
    command -v "$1" >/dev/null || notrun "$1 is missing (apt-get install $2)"
}

# check NAME COMMAND...: passes when the command ends with 0 within CHECK_TIMEOUT seconds.
check() {
    local name=$1 log
    log=$work/$(printf %s "$1" | tr -c 'A-Za-z0-9' _).log
    shift
    if timeout -k 5 "${CHECK_TIMEOUT:-120}" "$@" >"$log" 2>&1 </dev/null; then
        pass "$name"
    else
        local rc=$?
        [ $rc != 124 ] || echo "no end after ${CHECK_TIMEOUT:-120} s" >>"$log"
        fail "$name" "$(grep -v '^ *at ' "$log" | grep . | tail -1)"
        return 1
    fi
}

# Functions of bash as checks: the same, in a bash that has this file's functions and variables.
check_fn() {
    local name=$1
    shift
    # shellcheck disable=SC2163
    while read -r _ _ fn; do export -f "$fn"; done < <(declare -F)
    check "$name" bash -c '"$@"' check_fn "$@"
}

lines_read() { sort -u "$work"/member.[123] 2>/dev/null | grep -c '^r[0-9][0-9]*$'; }

# await SECONDS COMMAND...
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}

each_member_read() { [ -s "$work/member.1" ] && [ -s "$work/member.2" ] && [ -s "$work/member.3" ]; }
read_at_least() { [ "$(lines_read)" -ge "$1" ]; }

stop_members() {
    local pid
    for pid in "$@"; do kill "$pid" 2>/dev/null; done
    for pid in "$@"; do
        await 15 dead "$pid" || kill -9 "$pid" 2>/dev/null
    done
}
dead() { ! kill -0 "$1" 2>/dev/null; }

# A group of three members in processes of their own; once each has read something the second is killed with -9 while
# records go on being produced; in the end every record has been read by someone. The client defines
#   make_topic TOPIC PARTITIONS · produce_range TOPIC FROM TO (keys and values r<N>) · member TOPIC GROUP (execs; a value a line)
group_check() {
    local topic=$tag-group group=$tag-g pids=() i next=0 total
    rm -f "$work"/member.*
    make_topic "$topic" 6 >"$work/make_topic.log" 2>&1 || { fail 'group of three' "no topic: $(tail -1 "$work/make_topic.log")"; return; }
    for i in 1 2 3; do
        (member "$topic" "$group" >"$work/member.$i" 2>"$work/member.$i.err" </dev/null) &
        pids+=($!)
        disown $! # or bash reports the kill on standard error
    done
    # Members join one after another and the first may read alone for a while: feed until each has had a share.
    local end=$((SECONDS + 90))
    until each_member_read; do
        if [ $SECONDS -ge $end ]; then
            fail 'group of three' "not every member was given records in 90 s: $(wc -l "$work"/member.[123] | awk 'NR < 4 { printf "%s ", $1 }')"
            stop_members "${pids[@]}"
            return
        fi
        produce_range "$topic" $next $((next + 120)) >>"$work/produce.log" 2>&1 ||
            { fail 'group of three' "produce: $(tail -1 "$work/produce.log")"; stop_members "${pids[@]}"; return; }
        next=$((next + 120))
        sleep 2
    done
    pass 'group: three members share six partitions'
    total=$((next + 3000))
    produce_range "$topic" $next $total >>"$work/produce.log" 2>&1 &
    local producer=$!
    await 60 read_at_least $((next + 300)) || true
    kill_member "${pids[1]}"
    wait $producer || fail 'group: produce during the kill' "$(tail -1 "$work/produce.log")"
    produce_range "$topic" $total $((total + 300)) >>"$work/produce.log" 2>&1
    total=$((total + 300))
    if await 120 read_at_least $total; then
        pass 'group: one member killed with -9, every record read'
    else
        fail 'group: one member killed with -9, every record read' "$(lines_read) of $total read within 120 s"
    fi
    stop_members "${pids[0]}" "${pids[2]}"
}

# The member is what the subshell became by exec, or its child where the client wraps itself.
kill_member() {
    local child
    for child in $(ps -o pid= --ppid "$1"); do kill_member "$child"; done
    kill -9 "$1" 2>/dev/null
}
