# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the suites of AMQP clients share (suite-NAME.sh sources this after lib.sh's manner: HOST:PORT, a folder). A suite runs
# whole and unmodified, and each test's verdict is compared with RabbitMQ's in suite-NAME.tsv: test, verdict, scope (in or
# out), why not. As RabbitMQ or better passes: what failed or was left out there may do anything but hang.
# SUITE_RECORD=FILE writes what was seen as the first two columns of such a table.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

suite=$(basename "$0" .sh)
table=$here/$suite.tsv
dir=$cache/$suite
seen=$work/seen.tsv

# python_suite PACKAGE==VERSION PIP-WORDS...: the source package, unpacked, and an environment for it. Sets src and venv.
python_suite() {
    need python3 python3
    local package=$1
    shift
    src=$dir/$(printf %s "$package" | sed 's/==/-/')
    venv=$dir/venv
    [ ! -f "$dir/ready" ] || return 0
    rm -rf "$dir"
    mkdir -p "$dir"
    {
        python3 -m venv "$venv" && "$venv/bin/pip" install -q "$@" &&
            "$venv/bin/pip" download -q --no-deps --no-binary "${package%%==*}" -d "$dir" "$package" &&
            tar xzf "$src.tar.gz" -C "$dir" && touch "$dir/ready"
    } >"$work/install.log" 2>&1 || notrun "pip could not install it: $(tail -1 "$work/install.log")"
}

# verdicts FILE.xml...: JUnit's reports as lines of test and verdict. A test that reports several times (its sub-tests, its
# repetitions) has the worst of its verdicts.
verdicts() {
    python3 - "$@" <<'PY'
import sys
import xml.etree.ElementTree as xml

ranks = ["PASSED", "XPASSED", "SKIPPED", "XFAILED", "FAILED", "ERROR"]
worst = {}


def verdict(case):
    for child in case:
        if child.tag == "skipped":
            return "XFAILED" if child.get("type") == "pytest.xfail" else "SKIPPED"
        if child.tag in ("failure", "error"):
            return {"failure": "FAILED", "error": "ERROR"}[child.tag]
    return "PASSED"


def walk(node, path):
    for child in node:
        if child.tag == "testsuite":
            walk(child, path + [child.get("name")] if child.get("name") != "pytest" else path)
        elif child.tag == "testcase":
            words = path + ([child.get("classname")] if child.get("classname", "test") != "test" else []) + [child.get("name")]
            name, now = " ".join(" ".join(words).split()), verdict(child)
            worst[name] = max(worst.get(name, now), now, key=ranks.index)


for file in sys.argv[1:]:
    walk(xml.parse(file).getroot(), [])
for name in sorted(worst):
    print(name, worst[name], sep="\t")
PY
}

# judge WHAT: $seen beside the table, as one line; the tests that are worse go to standard error.
judge() {
    [ -z "${SUITE_RECORD:-}" ] || cp "$seen" "$SUITE_RECORD"
    [ -s "$seen" ] || { fail "$1" "nothing was run: $(tail -1 "$work/run.log")"; return; }
    awk -F'\t' -v what="$1" '
        NR == FNR { seen[$1] = $2; next }
        /^#/ || !NF { next }
        $3 != "in" { out++; next }
        { got = ($1 in seen) ? seen[$1] : "none" }
        $2 != "PASSED" { same++; next }
        got == "PASSED" { passed++; next }
        { worse++; first = first (worse <= 5 ? (first ? "; " : "") $1 " " got : ""); printf "WORSE %s: RabbitMQ %s, seen %s\n", $1, $2, got >"/dev/stderr" }
        END {
            printf "%s\t%s: %d as on RabbitMQ, where %d more do not pass; %d out of scope", worse || !passed ? "FAIL" : "PASS", what, passed, same, out
            if (worse || !passed) printf "\t%d worse: %s", worse, first
            print ""
        }' "$seen" "$table"
}
