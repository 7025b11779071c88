#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# kafka-python's own integration tests, from the source package of the pinned release, against a broker that runs.
# That package leaves out two files of its test folder; what is imported from them is written here: an empty package file
# and a service module whose broker is somebody else's to start. Compared with what real Kafka makes of each test
# (suite-kafka-python.tsv), since some start a TLS or SASL broker of their own and cannot pass for anyone here.
#
#   suite-kafka-python.sh --kafka HOST:PORT [--record FILE]
#
# Wants of the server: num.partitions=4, node.id=0, group.min.session.timeout.ms at most 3000.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=3.0.12 address= record=

die() { echo "suite-kafka-python: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
    --kafka) address=$2 ;;
    --record) record=$2 ;;
    *) sed -n '9,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
    shift 2
done
[ -n "$address" ] || die '--kafka HOST:PORT is needed'

dir=$here/.cache/suite-kafka-python
src=$dir/kafka_python-$version
if [ ! -f "$dir/ready" ]; then
    command -v python3 >/dev/null || die 'python3 is missing: apt-get install python3 python3-venv'
    rm -rf "$dir"
    mkdir -p "$dir"
    {
        python3 -m venv "$dir/venv" &&
            "$dir/venv/bin/pip" install -q kafka-python==$version pytest pytest-timeout pytest-mock mock lz4 zstandard python-snappy crc32c &&
            "$dir/venv/bin/pip" download -q --no-deps --no-binary :all: -d "$dir" kafka-python==$version &&
            tar xzf "$dir"/kafka_python-$version.tar.gz -C "$dir"
    } >"$dir/install.log" 2>&1 || die "not installed: $(tail -1 "$dir/install.log")"
    : >"$src/test/__init__.py"
    cat >"$src/test/service.py" <<'PY'
class ExternalService:
    def __init__(self, host, port=0):
        self.host, self.port = host, port

    def open(self):
        pass

    close = stop = open


class SpawnedService:
    def __init__(self, *args, **kwargs):
        raise RuntimeError("no broker is started from here")
PY
    mkdir -p "$src/kroot"
    touch "$dir/ready"
fi
cd "$src" || exit 1
KAFKA_URI=kafka://$address KAFKA_VERSION=4.3.0 KAFKA_ROOT=$src/kroot "$dir/venv/bin/python" -m pytest test/integration \
    -p no:logging -p no:cacheprovider -q --timeout 300 --junitxml "$dir/run.xml" >"$dir/run.log" 2>&1
# One line a test: the name, and passed, failed, skipped or error.
"$dir/venv/bin/python" - "$dir/run.xml" >"$dir/seen.tsv" <<'PY'
import sys
import xml.etree.ElementTree as xml

words = {"failure": "FAILED", "error": "ERROR", "skipped": "SKIPPED"}
for case in sorted(xml.parse(sys.argv[1]).iter("testcase"), key=lambda c: (c.get("classname"), c.get("name"))):
    verdict = next((words[child.tag] for child in case if child.tag in words), "PASSED")
    print(case.get("classname").replace("test.integration.", "") + "." + case.get("name"), verdict, sep="\t")
PY
[ -z "$record" ] || cp "$dir/seen.tsv" "$record"

[ -s "$dir/seen.tsv" ] || die "nothing was run, see $dir/run.log"
awk -F'\t' '
    NR == FNR { seen[$1] = $2; next }
    /^#/ { next }
    $3 != "in" { skipped++; next }
    seen[$1] == "PASSED" { passed++; next }
    { failed++; printf "WRONG %s: Kafka PASSED, seen %s\n", $1, ($1 in seen) ? seen[$1] : "none" }
    END { if (passed + failed == 0) { print "no test is in the table"; exit 1 } printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }' "$dir/seen.tsv" "$here/suite-kafka-python.tsv"
