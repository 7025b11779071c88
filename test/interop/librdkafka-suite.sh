#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# librdkafka's own test suite (2.15.1, as its npm package carries it) against a broker that runs, judged by sub-test.
# The runner says PASSED of a test whose sub-tests were all left out, so a verdict counts here only where the log has
# the line of the sub-test itself; and each test has a process of its own, since the runner aborts after a failure and
# takes the results of its neighbours along. What real Kafka 4.3.1 answers stands in librdkafka-verdicts.tsv.
#
#   librdkafka-suite.sh --kafka HOST:PORT [--tests "0001 0019"] [--all] [--noauto] [--jobs N] [--no-retry] [--record FILE]
#
#   --tests   only these numbers (in scope or not)
#   --all     also what the table calls out of scope (its verdicts are shown, and do not count)
#   --noauto  the scenario whose server runs with auto.create.topics.enable=false, and its tests alone
#   --record  write what was seen as TSV rows: test, sub-test, verdict, seconds
#
# Environment: LIBRDKAFKA_TREE (a built tree; else the package is fetched and built in .cache), KAFKA_LIBS (the jars
# for the few tests that call kafka-topics.sh), SUITE_TIMEOUT seconds for one test (1800), SUITE_LOGS (folder to keep logs).
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
table=$here/librdkafka-verdicts.tsv
package=@confluentinc/kafka-javascript@1.10.1
address= tests= all=0 jobs=3 record= want=in scenario= retry=1

die() { echo "librdkafka-suite: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
    --kafka) address=$2; shift ;;
    --tests) tests=$2; shift ;;
    --jobs) jobs=$2; shift ;;
    --record) record=$2; shift ;;
    --all) all=1 ;;
    --no-retry) retry=0 ;;
    --noauto) want=noauto scenario='-s noautocreate' ;;
    *) sed -n '9,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift
done
[ -n "$address" ] || die '--kafka HOST:PORT is needed'

build_tree() { # prints the folder of the built tree
    if [ -n "${LIBRDKAFKA_TREE:-}" ]; then echo "$LIBRDKAFKA_TREE"; return; fi
    local tree=$here/.cache/librdkafka-suite
    if [ ! -f "$tree/built" ]; then
        local need
        for need in npm g++ make; do command -v $need >/dev/null || die "$need is missing"; done
        echo '#include <rapidjson/schema.h>' | g++ -E -x c++ - >/dev/null 2>&1 ||
            die 'missing headers: apt-get install g++ rapidjson-dev libssl-dev zlib1g-dev libzstd-dev libcurl4-openssl-dev libsasl2-dev liblz4-dev'
        rm -rf "$tree"
        mkdir -p "$tree"
        (cd "$tree" && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz --strip-components=3 package/deps/librdkafka) ||
            die "npm could not fetch $package"
        (cd "$tree" && ./configure --enable-devel && make -j2 libs && make -j2 -C tests build) >"$tree/build.log" 2>&1 ||
            die "the suite did not build, see $tree/build.log"
        touch "$tree/built"
    fi
    echo "$tree"
}

# Lines "number TAB selector". A test that is partly out of scope runs sub-test by sub-test: by function where the whole
# function is in, else by what distinguishes the sub-test's name (the runner looks for the selector in that name).
plan() {
    local number
    for number in ${tests:-$(awk -F'\t' '/^[0-9]/ { print substr($1, 1, 4) }' "$table" | sort -u)}; do
        awk -F'\t' -v n="$number" -v all="$all" -v named="${tests:+1}" -v want="$want" '
            substr($1, 1, 4) != n { next }
            $2 == "-" && $5 == "part" { part = 1 }
            $2 == "-" && $5 != "part" && ($5 == want || ((all || named) && $5 != "noauto")) { whole = 1 }
            $2 == "-" { next }
            { f = $2; sub(/:.*/, "", f); if ($5 == "in") k[++count] = $2; else mixed[f] = 1 }
            END {
                if (!part) { if (whole) print n "\t"; exit }
                if (want != "in") exit
                for (i = 1; i <= count; i++) {
                    s = f = k[i]; sub(/:.*/, "", f)
                    if (f in mixed) { sub(/^[A-Za-z_]+:[0-9]+: /, "", s); sub(/^[0-9a-z_]+#[a-z]+ /, "", s) } else s = f
                    if (!done[s]++) print n "\t" s
                }
            }' "$table"
    done
}

run_one() { # NUMBER TAB SELECTOR
    local number=${1%%$'\t'*} selector=${1#*$'\t'} log
    log=$logs/$number${selector:+.$(printf %s "$selector" | tr -c 'A-Za-z0-9\n' _)}.log
    { TESTS=$number SUBTESTS=$selector timeout -k 10 "${SUITE_TIMEOUT:-1800}" stdbuf -oL ./test-runner -L -K -p1 $scenario; } >"$log" 2>&1
    echo "runner ended with $?" >>"$log"
}

harvest() { # rows: test, sub-test, verdict, seconds
    local log
    for log in "$logs"/*.log; do
        awk -v part="$(basename "$log" .log)" '
            { gsub(/\033\[[0-9;]*m/, "") }
            match($0, /^\[[0-9][0-9][0-9][0-9]_[A-Za-z0-9_]+/) { test = substr($0, 2, RLENGTH - 1) }
            match($0, /\[ .*: (PASS|FAIL|SKIP)[ A-Z]*(\(|:| \])/) {
                s = substr($0, RSTART + 2); v = s; sub(/.*: /, "", v)
                if (match(s, /: (PASS|FAIL|SKIP)/)) {
                    v = substr(s, RSTART + 2, 4); rest = substr(s, RSTART + 6); s = substr(s, 1, RSTART - 1)
                    secs = "-"; if (match(rest, /[0-9.]+s/)) secs = substr(rest, RSTART, RLENGTH - 1)
                    gsub(/rdkafkatest_[A-Za-z0-9_.-]+/, "TOPIC", s); gsub(/\t/, " ", s); sub(/ \(linger\.ms=-?[0-9]+\)/, "", s); gsub(/#producer-[0-9]+/, "#producer", s); gsub(/#consumer-[0-9]+/, "#consumer", s)
                    print test "\t" s "\t" v "\t" secs
                }
            }
            match($0, /=+ Test [0-9A-Za-z_]+ (PASSED|FAILED|SKIPPED) =+/) {
                split(substr($0, RSTART, RLENGTH), w, " ")
                if (part !~ /\./) print w[3] "\t-\t" substr(w[4], 1, 4) "\t-"
            }' "$log"
    done | awk -F'\t' '!/_local\t/ { k = $1 FS $2; if (!(k in v)) { order[++n] = k; v[k] = $3 FS $4 } else if (v[k] !~ /^FAIL/ && $3 == "FAIL") v[k] = $3 FS $4 }
        END { for (i = 1; i <= n; i++) print order[i] FS v[order[i]] }'
}

judge() { # FILE: the verdicts seen, beside the table's
    awk -F'\t' -v all="$all" -v named="$tests" -v want="$want" '
        NR == FNR { seen[$1 FS $2] = $3; next }
        !/^[0-9]/ { next }
        named != "" && index(named, substr($1, 1, 4)) == 0 { next }
        $5 == "part" { next }
        $5 != want { if (all && ($1 FS $2) in seen) printf "out   %-34s %-60s Kafka %-5s seen %s\n", $1, $2, $3, seen[$1 FS $2]; next }
        {
            got = ($1 FS $2) in seen ? seen[$1 FS $2] : "none"
            if ($3 == "SKIP" && got == "SKIP") { skipped++; next }
            if (got == $3) { passed++; next }
            failed++; printf "WRONG %-34s %-60s Kafka %-5s seen %s\n", $1, $2, $3, got
        }
        END { if (passed + failed == 0) { print "nothing was run"; exit 1 } printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' "$1" "$table"
}

tree=$(build_tree) || exit 1
logs=${SUITE_LOGS:-$(mktemp -d)}
mkdir -p "$logs"
logs=$(cd "$logs" && pwd)
rm -f "$logs"/*.log
bash "$here/kafka.sh" scripts "$logs" || die 'no kafka-topics.sh for the tests that call it'
printf 'bootstrap.servers=%s\ntest.timeout.multiplier=3\n' "$address" >"$logs/test.conf"
export LD_LIBRARY_PATH=$tree/src:$tree/src-cpp TEST_KAFKA_VERSION=4.3.1 BROKERS=$address KAFKA_PATH=$logs RDKAFKA_TEST_CONF=$logs/test.conf
cd "$tree/tests" || exit 1
export logs scenario
export -f run_one
plan >"$logs/plan"
xargs -a "$logs/plan" -d '\n' -P "$jobs" -I{} bash -c 'run_one "$1"' run_one {} 2>/dev/null
harvest >"$logs/seen.tsv"
# Many of these tests time what they see: what was wrong is run again, alone, and that is said.
if [ $retry = 1 ]; then
    judge "$logs/seen.tsv" | awk '$1 == "WRONG" { print substr($2, 1, 4) }' | sort -u >"$logs/again"
    grep -F -f "$logs/again" "$logs/plan" | while IFS= read -r line; do
        case $line in *$'\t') ;; *) grep -qF "${line#*$'\t'}" <(judge "$logs/seen.tsv") || continue ;; esac
        echo "again, alone: $line"
        run_one "$line" 2>/dev/null </dev/null
    done
    harvest >"$logs/seen.tsv"
fi
[ -z "$record" ] || cp "$logs/seen.tsv" "$record"
echo "logs: $logs"
judge "$logs/seen.tsv"
