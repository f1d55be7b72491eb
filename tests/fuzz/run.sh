#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs one fuzz target of a build folder: ./dev fuzz TARGET [--minutes N | FILE...]
set -euo pipefail

build=$1 seeds=$2/$3 target=$3
shift 3
program=$build/tests/fuzz/fuzz_$target found=$build/found/$target log=$build/found/$target.log

# llvm-14 has it under this name only.
export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-$(command -v llvm-symbolizer-14 || true)}
# As far as there is room in memory, files that a target writes for each input stay there.
TMPDIR=$(mktemp -d -p "$([[ -w /dev/shm ]] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" expertscope-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

# A thing that takes longer or more than this is a finding. AddressSanitizer keeps some of the memory for itself.
limits=(-timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512)

minutes=10
if [[ ${1:-} == --minutes ]]; then
  minutes=${2:-}
  [[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "--minutes takes a number from 1" >&2 && exit 2; }
elif [[ $# -gt 0 ]]; then
  "$program" "${limits[@]}" "$@"
  exit
fi

mkdir -p "$found/corpus" "$found/crashes"
# Twice as long as the longest that is known, but at least what libFuzzer takes by itself.
length=$(find "$seeds" -type f -printf '%s\n' | sort -n | tail -n 1)
length=$((2 * length > 4096 ? 2 * length : 4096))

# Into the log; on a terminal its last line of numbers stands in one line.
keep() {
  local line
  [[ -t 2 ]] || exec cat >"$log"
  while IFS= read -r line; do
    printf '%s\n' "$line"
    [[ $line != '#'* ]] || printf '\r\033[K%.79s' "${line//$'\t'/ }" >&2
  done >"$log"
  printf '\r\033[K' >&2
}

status=0
"$program" "${limits[@]}" -max_len="$length" -max_total_time=$((60 * minutes)) -print_final_stats=1 \
  -artifact_prefix="$found/crashes/" "$found/corpus" "$seeds" 2>&1 </dev/null | keep || status=$?

statistic() { sed -nE "s/^stat::$1: *//p" "$log"; }
coverage=$(grep -oE ' cov: [0-9]+ ft: [0-9]+' "$log" | tail -n 1) || true
echo "$target: $(statistic number_of_executed_units) executions, $(statistic average_exec_per_sec) a second;" \
  "coverage${coverage:- unknown}; $(find "$found/corpus" -type f | wc -l) inputs in $found/corpus"
if [[ $status -ne 0 ]]; then
  grep -m 1 -E '^(==[0-9]+== ?ERROR|fuzz: |.*runtime error)' "$log" || tail -n 5 "$log"
  reproducer=$(sed -nE 's/.*Test unit written to (.*)/\1/p' "$log" | tail -n 1)
  echo "stopped by a finding: ./dev fuzz $target ${reproducer:-, and no input was kept}; the log is $log"
  exit 1
fi
echo "no crash, no hang"
