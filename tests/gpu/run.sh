#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What ./dev gpu runs, on programs that are there already: a build folder or an unpacked bundle.
#
# usage: run.sh PROGRAMS SOURCES OUT [--seconds N] [--soak MINUTES] [--dry]
#   PROGRAMS  build folder, or a bundle with bin/ and lib/
#   SOURCES   folder with tests/data, tests/bench and resources/demo
#   OUT       full/, soak/ or dry/ in it is emptied and gets results.txt, results.json, a log for every part
#   --seconds all parts together (570)
#   --soak    nothing but random work, so long
#   --dry     what can be run without a GPU: whether every program starts and finds its libraries
#
# Exit codes: 0 nothing failed, 1 something failed, nothing ran, or the GPU cannot be used, 2 usage. Targets that were
# missed are no failure: results.txt ends with how many there are.
# No -e: a part that fails is recorded, and the next one runs.
set -uo pipefail

programs=$1 sources=$2 out=$3
shift 3
total=570 soak_minutes='' kind=full
while [[ $# -gt 0 ]]; do
  case $1 in
    --seconds) total=$2 && shift 2 ;;
    --soak) soak_minutes=$2 kind=soak && shift 2 ;;
    --dry) kind=dry && shift ;;
    *) sed -n '5,11s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  esac
done
# Nothing of an earlier run, of another commit perhaps, may look like a result of this one.
out="$out/$kind"
mkdir -p "$out"
rm -f "$out"/*.{txt,json,log}
export EXPERTSCOPE_TEST_DATA="$sources/tests/data"
unset EXPERTSCOPE_BACKEND
demo="$sources/resources/demo"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
started=$SECONDS
PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin"

say() { printf "%s\n" "$@"; }
left() { echo $((total - (SECONDS - started))); }

# A program wherever it lies; empty when it is not there.
program() {  # NAME
  local folder
  for folder in bin app tests/parity tests/gpu tests/bench engine/cuda; do
    if [[ -e "$programs/$folder/$1" ]]; then
      printf '%s\n' "$programs/$folder/$1"
      return
    fi
  done
}

# nvidia/*/lib of every Python's packages: pip install nvidia-cublas, or what PyTorch brought along.
python_folders() {
  local python
  { type -aP python3; ls -d "${VIRTUAL_ENV:-/none}/bin/python3" "${CONDA_PREFIX:-/none}/bin/python3" \
    /opt/conda/bin/python3 /opt/venv/bin/python3 2>/dev/null; } | awk '!seen[$0]++' | while read -r python; do
    timeout -k 1 20 "$python" -c '
import glob, sys
for folder in filter(None, sys.path):
    print("\n".join(sorted(glob.glob(glob.escape(folder) + "/nvidia/*/lib"), reverse=True)))' 2>/dev/null </dev/null
  done
}

# Folders that may hold cuBLAS: those of toolkits, and those of Python's packages.
cuda_folders() {
  local nvcc root
  nvcc=$(sed -n 's/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$programs/CMakeCache.txt" 2>/dev/null)
  for nvcc in "$nvcc" "$(command -v nvcc)"; do
    [[ -n $nvcc ]] && dirname "$(dirname "$(readlink -f "$nvcc")")"
  done | cat - <(printf '%s\n' "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda* /opt/cuda* "${CONDA_PREFIX:-}") |
    while read -r root; do
      [[ -z $root ]] || printf '%s\n' "$root"/{lib64,targets/*/lib,lib}
    done
  python_folders
}

# The library path for our programs, and only for them: Python has libraries of its own.
library_path=''
with_libraries() { env ${library_path:+LD_LIBRARY_PATH="$library_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"} "$@"; }

missing_cublas() { with_libraries ldd "$1" 2>/dev/null | sed -n 's/^[[:space:]]*\(libcublas[^ ]*\) => not found.*/\1/p'; }

# Why the programs cannot run, empty when they can.
unusable=''

# What a bundle of a newer system needs of this one; the files GLIBC are written by bundle.sh.
check_bundle() {
  local glibc needed
  [[ -s "$programs/lib/GLIBC" ]] || return 0
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
  older_than() { [[ $(printf '%s\n' "${glibc:-0}" "$1" | sort -V | head -1) != "$1" ]]; }
  needed=$(<"$programs/lib/GLIBC")
  if older_than "$needed"; then
    unusable="the programs of this bundle need glibc $needed, this machine has ${glibc:-none}: build on this machine, or on one as old"
    return
  fi
  # The C++ library of the bundle only where the machine's is missing or too old.
  [[ -d "$programs/lib/std" ]] && ! with_libraries "$(program expertscope-cli)" --version >/dev/null 2>&1 || return 0
  needed=$(cat "$programs/lib/std/GLIBC" 2>/dev/null)
  if older_than "${needed:-0}"; then
    unusable="the C++ library of this machine (libstdc++.so.6) is missing or older than the programs of this bundle, and that of the bundle needs glibc $needed, this machine has $glibc"
    return
  fi
  library_path+=":$programs/lib/std"
}

find_libraries() {
  local plugin folder missing
  [[ -d "$programs/lib" ]] && library_path="$programs/lib"
  check_bundle
  [[ -z $unusable ]] || return 0
  # Where containers and WSL keep the driver without telling the linker.
  for folder in /usr/local/nvidia/lib64 /usr/lib/wsl/lib; do
    [[ ! -e $folder/libcuda.so.1 ]] || library_path+="${library_path:+:}$folder"
  done
  plugin=$(program libexpertscope_cuda.so)
  [[ -n $plugin && -n $(missing_cublas "$plugin") ]] || return 0
  local base=$library_path
  while read -r folder; do
    compgen -G "$folder/libcublas.so.*" >/dev/null || continue
    library_path="$base${base:+:}$folder"
    [[ -n $(missing_cublas "$plugin") ]] || return 0
  done < <(cuda_folders | awk '!seen[$0]++')
  library_path=$base
  missing=$(missing_cublas "$plugin" | head -1)
  local major=${missing##*.so.} package=nvidia-cublas
  [[ $major -ge 13 ]] || package=nvidia-cublas-cu$major
  unusable="$missing was not found: the CUDA backend needs cuBLAS, which comes with the CUDA $major toolkit or with 'pip install $package'"
}

names=() states=() times=() details=()
declare -A count=([ok]=0 [missed]=0 [skipped]=0 [FAILED]=0)
targets_missed=0

record() {  # NAME STATE SECONDS DETAIL
  names+=("$1") states+=("$2") times+=("$3") details+=("$4")
  count[$2]=$((count[$2] + 1))
  printf '  %-30s %-8s %4s s  %s\n' "$1" "$2" "$3" "$4"
}

# Runs a part within its budget and within what is left. Exit codes: 4 "targets missed", 77 "skipped", 124 and 137
# "out of time".
part() {  # NAME BUDGET COMMAND...
  local name=$1 budget=$2 log="$out/${1// /-}.log" begin=$SECONDS code state detail
  shift 2
  ((budget > $(left))) && budget=$(left)
  if ((budget < 5)); then
    record "$name" skipped 0 "no time was left"
    return
  fi
  with_libraries timeout -k 5 "$budget" "$@" >"$log" 2>&1 </dev/null
  code=$?
  detail=$(awk 'NF { $1 = $1; last = $0 } END { print substr(last, 1, 110) }' "$log") # the last line, blanks squeezed
  case $code in
    0) state=ok ;;
    4) # a benchmark's targets; its last line begins with how many
      state=missed
      [[ $detail =~ ^[0-9]+ ]] && targets_missed=$((targets_missed + BASH_REMATCH[0]))
      ;;
    77) state=skipped ;;
    124 | 137) state=FAILED detail="not done after $budget s" ;;
    *) state=FAILED ;;
  esac
  # A filter that matches nothing tests nothing, whatever a sanitizer says at the end.
  if [[ $state == ok && " $*" == *cuda_plugin_parity_test* ]] && ! grep -q '\[  PASSED  \] [1-9]' "$log"; then
    state=FAILED detail="no test ran"
  fi
  record "$name" "$state" $((SECONDS - begin)) "$detail"
  [[ $state != FAILED ]] || tail -15 "$log" | sed 's/^/      /'
}

sanitizer() {  # TOOL BUDGET
  local tool
  tool=$(command -v compute-sanitizer) || {
    record "$1" skipped 0 "compute-sanitizer is not installed"
    return
  }
  part "$1" "$2" "$tool" --tool "$1" --error-exitcode 9 --print-limit 5 "$(program cuda_plugin_parity_test)" \
    --gtest_filter='*Backends*InF32/top2_tied:*Backends*InBf16/bf16' --gtest_brief=1
}

transformers() {
  local shape=qwen3-30b-a3b
  if ! command -v python3 >/dev/null; then
    record transformers skipped 0 "python3 is not installed"
    return
  fi
  if [[ ! -f "$out/$shape.json" || ! -f "$scratch/shared/tokens.i32" ]]; then
    record transformers skipped 0 "the benchmark left nothing to compare with"
    return
  fi
  local keep=$library_path
  library_path=''
  # As many sequences as the benchmark told the maxima of by themselves.
  part transformers 110 python3 "$sources/tests/bench/hf_super_experts.py" "$scratch/shared" "$out/$shape.json" \
    --sequences 4 --out "$out/transformers.json"
  library_path=$keep
}

# Sets `unusable` where no program could do anything.
check_gpu() {
  local answer
  answer=$(with_libraries timeout -k 5 100 "$(program expertscope-gpu-soak)" --episodes 1 --steps 1 --model "$demo" 2>&1 </dev/null)
  case $? in
    77) unusable=$answer ;;
    124 | 137) unusable="the GPU did not answer within 100 s; dmesg and nvidia-smi may know why" ;;
  esac
}

json_text() { printf '%s' "$1" | tr -d '\000-\037' | sed 's/[\\"]/\\&/g'; }

write_json() {
  local i separator=''
  {
    printf '{"commit": "%s", "kind": "%s", "seconds": %d,\n' "$(json_text "$(commit)")" "$kind" $((SECONDS - started))
    printf '"ok": %d, "missed": %d, "skipped": %d, "failed": %d, "targets_missed": %d, "parts": [' "${count[ok]}" \
      "${count[missed]}" "${count[skipped]}" "${count[FAILED]}" "$targets_missed"
    for i in "${!names[@]}"; do
      printf '%s\n {"name": "%s", "state": "%s", "seconds": %d, "detail": "%s"}' "$separator" "${names[i]}" "${states[i]}" \
        "${times[i]}" "$(json_text "${details[i]}")"
      separator=','
    done
    printf ']'
    for i in qwen3-30b-a3b olmoe-1b-7b transformers; do
      [[ -s "$out/$i.json" ]] && printf ',\n"%s": %s' "$i" "$(cat "$out/$i.json")"
    done
    printf '}\n'
  } >"$out/results.json"
}

commit() {
  if [[ -f "$sources/COMMIT" ]]; then
    cat "$sources/COMMIT"
  else
    git -C "$sources" describe --always --dirty 2>/dev/null || echo unknown
  fi
}

machine() {
  say "commit $(commit), $(uname -m), $(nproc) CPU threads"
  timeout -k 5 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || true
}

dry_run() {
  say "programs of $programs, without a GPU"
  [[ -z $unusable ]] || say "$unusable"
  part "info" 60 "$(program expertscope-cli)" info "$demo"
  part "generate" 60 "$(program expertscope-cli)" generate "$demo" --prompt "Once" --max-tokens 8 --backend cpu
  part "parity" 60 "$(program cuda_plugin_parity_test)"
  part "soak" 60 "$(program expertscope-gpu-soak)" --episodes 1 --model "$demo"
  part "bench" 60 "$(program expertscope-gpu-bench)" --tiny
  if command -v python3 >/dev/null; then
    part "roofline" 60 python3 "$sources/tests/bench/roofline.py"
  else
    record roofline skipped 0 "python3 is not installed"
  fi
}

soak() {
  total=$(awk "BEGIN { print int($soak_minutes * 60) + 120 }")
  part "soak" "$total" "$(program expertscope-gpu-soak)" "$soak_minutes" --seed "$(date +%s)" --model "$demo"
}

full() {
  local log
  part "start" 60 "$(program expertscope-gpu-soak)" --episodes 1 --steps 4 --model "$demo"
  part "parity" 100 "$(program cuda_plugin_parity_test)" --gtest_filter='-*Backends*' --gtest_brief=1
  part "intermediates CPU and CUDA" 50 "$(program cuda_plugin_parity_test)" --gtest_filter='*Backends*' --gtest_brief=1
  # The sharing of weights costs two seconds and saves transformers from making its own.
  part "bench Qwen3-30B-A3B" 170 "$(program expertscope-gpu-bench)" --out "$out" --share "$scratch/shared" --seconds 120
  transformers
  part "bench OLMoE-1B-7B" 60 "$(program expertscope-gpu-bench)" --shape olmoe-1b-7b --no-job --cache --out "$out" --seconds 45
  sanitizer memcheck 70
  sanitizer racecheck 70
  part "soak" 40 "$(program expertscope-gpu-soak)" 0.4 --model "$demo"
  for log in "$out"/bench-*.log "$out/intermediates-CPU-and-CUDA.log" "$out/transformers.log"; do
    [[ -s $log ]] && say '' && cat "$log"
  done
}

summary() {
  local missed='' end="results in $out"
  ((count[missed] == 0)) || missed="${count[missed]} below target, "
  say '' "${count[ok]} ok, $missed${count[skipped]} skipped, ${count[FAILED]} FAILED; targets missed: $targets_missed"
  ((count[ok] + count[missed] > 0)) || say "nothing ran"
  ((count[FAILED] == 0)) || end="the logs are in $out"
  say "$end"
}

find_libraries
if [[ $kind != dry ]]; then
  [[ -n $unusable ]] || check_gpu
  if [[ -n $unusable ]]; then
    say "$unusable" | tee "$out/results.txt"
    exit 1
  fi
fi
{
  machine
  case $kind in
    dry) dry_run ;;
    soak) soak ;;
    full) full ;;
  esac
  write_json
  summary
} > >(tee "$out/results.txt") 2>&1
wait
((count[FAILED] == 0 && count[ok] + count[missed] > 0))
