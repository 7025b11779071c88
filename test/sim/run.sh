#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The simulation as a test: each seed is run twice and both runs must have the same hash; what the
# runs met must reach the floors below, so that a world that has become too quiet fails as well; and
# every planted bug must be found. WEIR_SIM_SEEDS and WEIR_SIM_FIRST choose other seeds.
set -u
cd "$(dirname "$0")/../.."

seeds=${WEIR_SIM_SEEDS:-2000}
first=${WEIR_SIM_FIRST:-1}
workers=2
share=$(((seeds + workers - 1) / workers))
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

pids=()
for ((i = 0; i < workers; i++)); do
    ./weir sim --seed $((first + i * share)) --seeds "$share" --twice --report >"$dir/$i" 2>&1 &
    pids+=($!)
done
status=0
for pid in "${pids[@]}"; do
    wait "$pid" || status=1
done

passed=0
failed=0
for ((i = 0; i < workers; i++)); do
    line=$(tail -1 "$dir/$i")
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    else
        echo "a run ended early: seeds $((first + i * share)) and on"
        tail -5 "$dir/$i"
        failed=$((failed + 1))
    fi
    grep -a -v '^seed ' "$dir/$i" | head -200
done
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1

# What a seed met on average, in hundredths: NAME FLOOR.
floors="steps 78000
requests 60000
records 15000
read 90000
commits 2500
api11 700
api12 5000
api13 20
api14 400
bundles 1000
confirms 19000
deliveries 10000
dead-letters 250
drained 10000
unheard 1500
sessions 2000
starts 300
power-losses 150
kills 25
stops 80
refused-starts 4
damaged-reads 8
writes 20000
syncs 20000
lost-write 400
torn-write 60
sync-fail 1
write-fail 10
disk-full 1
read-fail 3
read-flip 15
rest-flip 30
cut 150
short-io 2000
checks 80000"
sums=$(cat "$dir"/* | awk '/^seed /{n++; for (i = 3; i <= NF; i++) { split($i, p, "="); if (p[2] + 0 == p[2]) s[p[1]] += p[2] } }
    END { for (k in s) printf "%s %d\n", k, s[k] * 100 / n }')
while read -r name floor; do
    got=$(awk -v k="$name" '$1 == k { print $2 }' <<<"$sums")
    got=${got:-0}
    if [ "$got" -lt "$floor" ]; then
        echo "FAILED: $name per seed is $got/100, less than $floor/100"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done <<<"$floors"
echo "met per seed, in hundredths: $(sort <<<"$sums" | tr '\n' ' ')"

out=$(test/sim/bugs.sh)
echo "$out"
passed=$((passed + $(grep -c ' found by seed ' <<<"$out")))
failed=$((failed + $(grep -c '^FAILED' <<<"$out")))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
