#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# check_symbols.sh LIBRARY: fails when a file compiled for a newer instruction set defines a weak function. The
# linker keeps one copy of those for the whole program, and on an older machine it could be the wrong one.
weak=$(nm -C --defined-only "$1" | awk '
  /^[a-z0-9_]+\.cpp\.o:$/ { file = $1; next }
  file ~ /^(avx|amx)/ && $2 == "W" { print file, $0 }')
[ -z "$weak" ] && exit 0
echo "$weak"
exit 1
