#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Packs what ./dev gpu needs on a machine with a driver, cuBLAS (from a CUDA toolkit, PyTorch or pip), and nothing else.
#
# usage: bundle.sh BUILD SOURCES ARCHIVE
set -euo pipefail

build=$1 sources=$2 archive=$3
most=60000000 # bytes
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root="$stage/expertscope-gpu"
mkdir -p "$root"/{bin,lib/std,tests/data,tests/bench,tests/gpu,resources}

for file in app/expertscope-cli tests/gpu/expertscope-gpu-soak tests/bench/expertscope-gpu-bench \
  tests/parity/cuda_plugin_parity_test engine/cuda/libexpertscope_cuda.so \
  tests/gpu/rates/libexpertscope_cuda_rates.so; do
  install -m 755 "$build/$file" "$root/bin/"
done
strip --strip-unneeded "$root"/bin/*
# Folders of this machine mean nothing on another, where anybody may own them.
# shellcheck disable=SC2016 # $ORIGIN is for the loader
if readelf -d "$root"/bin/* | grep -E '(RPATH|RUNPATH)' | grep -vF '[$ORIGIN/../lib]'; then
  echo "$build: programs for a bundle look for libraries in ../lib and nowhere else" >&2
  exit 1
fi

# Libraries that a bare machine lacks. The C library is the machine's, CUDA's come with its toolkit or with PyTorch,
# and the C++ library is for a machine whose own is older.
ldd "$root"/bin/* | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u | while read -r library; do
  case $(basename "$library") in
    libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libresolv.so* | ld-linux*) ;;
    libcu* | libnv*) ;;
    libstdc++.so* | libgcc_s.so*) cp -L "$library" "$root/lib/std/" ;;
    *) cp -L "$library" "$root/lib/" ;;
  esac
done

# The oldest C library that has everything the files of these folders want, for run.sh to compare with the machine's.
glibc_of() {  # FOLDERS...
  find "$@" -maxdepth 1 -type f -exec objdump -T {} + | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 | sed 's/^GLIBC_//'
}
glibc_of "$root/bin" "$root/lib" >"$stage/GLIBC"
mv "$stage/GLIBC" "$root/lib/"
if compgen -G "$root/lib/std/*" >/dev/null; then
  glibc_of "$root/lib/std" >"$stage/GLIBC"
  mv "$stage/GLIBC" "$root/lib/std/"
fi

cp -r "$sources"/tests/data/{models,golden} "$root/tests/data/"
cp -r "$sources/resources/demo" "$root/resources/"
cp "$sources"/tests/bench/{hf_super_experts,roofline}.py "$root/tests/bench/"
cp "$sources"/tests/gpu/{run,bundle}.sh "$root/tests/gpu/"
cp "$sources/dev" "$root/"
git -C "$sources" describe --always --dirty >"$root/COMMIT" 2>/dev/null || echo unknown >"$root/COMMIT"

mkdir -p "$(dirname "$archive")"
tar -C "$stage" --owner=0 --group=0 --sort=name -cf - expertscope-gpu | gzip -9 >"$archive"
size=$(stat -c %s "$archive")
if ((size >= most)); then
  echo "$archive has $size bytes, $most are allowed; the largest parts:" >&2
  du -a "$root" | sort -rn | head -15 >&2
  exit 1
fi
echo "$archive: $((size / 1000000)) MB"
