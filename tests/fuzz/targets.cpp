// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/fuzz/targets.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace expertscope::testing {

void ensure(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

std::pair<std::string, std::string> two_texts(std::string_view input) {
  const std::size_t end = input.find('\f');
  if (end == std::string_view::npos) return {std::string(input), {}};
  return {std::string(input.substr(0, end)), std::string(input.substr(end + 1))};
}

const TemporaryFolder& fuzz_folder() {
  static const TemporaryFolder folder;
  return folder;
}

std::filesystem::path put_file(const std::string& name, std::string_view bytes) {
  const auto file = fuzz_folder() / name;
  std::ofstream out(file, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  ensure(out.good(), "the scratch file cannot be written");
  return file;
}

}  // namespace expertscope::testing
