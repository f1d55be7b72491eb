// SPDX-License-Identifier: GPL-3.0-or-later
// A function whose stack wants a guard and whose copy wants a check.
#include <cstdio>
#include <cstring>

int main(int count, char** arguments) {
  char text[16];
  std::strcpy(text, arguments[count - 1]);
  return std::puts(text) < 0 ? 1 : 0;
}
