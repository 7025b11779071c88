#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# franz-go's own tests of its client, from the Go module, against a broker that runs. The suite looks at ApiVersions and
# leaves out what a broker lacks without a word, so the names of what passed are compared with those of real Kafka
# (suite-franz-go.tsv), which also says what is not in scope yet.
#
#   suite-franz-go.sh --kafka HOST:PORT [--record FILE]
#
# FRANZ_SKIP: a pattern of tests to leave out, ^TestTxn where a server has no transactions and they would wait long.
# FRANZ_RECORDS (10000): records per test; its own default of 500,000 takes very long on two cores.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=github.com/twmb/franz-go@v1.22.2 address= record=

die() { echo "suite-franz-go: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
    --kafka) address=$2 ;;
    --record) record=$2 ;;
    *) sed -n '8,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift 2
done
[ -n "$address" ] || die '--kafka HOST:PORT is needed'
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || die 'go is missing'

dir=$here/.cache/suite-franz-go
export GOFLAGS=-mod=mod GOTOOLCHAIN=local GOCACHE=$here/.cache/go-build
if [ ! -x "$dir/pkg/kgo/kgo.test" ]; then
    rm -rf "$dir"
    from=$(go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
    [ -d "$from" ] || die "go could not fetch $module"
    cp -r "$from" "$dir" && chmod -R u+w "$dir"
    (cd "$dir/pkg/kgo" && go test -c -o kgo.test .) >"$dir.log" 2>&1 || die "not built: $(tail -1 "$dir.log")"
fi
cd "$dir/pkg/kgo" || exit 1
KGO_SEEDS=$address KGO_TEST_RF=1 KGO_TEST_RECORDS=${FRANZ_RECORDS:-10000} KGO_LOG_LEVEL=none \
    ./kgo.test -test.v -test.timeout 30m ${FRANZ_SKIP:+-test.skip "$FRANZ_SKIP"} >"$dir/run.log" 2>&1
awk '/^ *--- (PASS|FAIL|SKIP): / { sub(/:/, "", $2); print $3 "\t" $2 }' "$dir/run.log" | sort -u >"$dir/seen.tsv"
[ -z "$record" ] || cp "$dir/seen.tsv" "$record"
[ -s "$dir/seen.tsv" ] || die "nothing was run, see $dir/run.log"
awk -F'\t' '
    NR == FNR { seen[$1] = $2; next }
    /^#/ { next }
    $3 != "in" { skipped++; next }
    seen[$1] == $2 { passed++; next }
    { failed++; printf "WRONG %s: Kafka %s, seen %s\n", $1, $2, ($1 in seen) ? seen[$1] : "none" }
    END { if (passed + failed == 0) { print "no test is in the table"; exit 1 } printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' "$dir/seen.tsv" "$here/suite-franz-go.tsv"
