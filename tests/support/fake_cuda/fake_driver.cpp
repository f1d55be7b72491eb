// SPDX-License-Identifier: GPL-3.0-or-later
// Stands in for libcuda.so.1, which has to be there and is not called.
extern "C" int fake_library_is_here();
extern "C" int fake_library_is_here() {
  return 1;
}
