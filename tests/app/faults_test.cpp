// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/faults/faults.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temporary_folder.h"

namespace expertscope::testing {
namespace {

TEST(MappedFileAt, NamesTheFileOfAnAddressAndNothingElse) {
  const TemporaryFolder folder;
  const std::string file = folder / "weights with a blank.bin";
  std::ofstream(file) << std::string(3 * 4096, 'w');
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  void* const bytes = mmap(nullptr, 3 * 4096, PROT_READ, MAP_PRIVATE, descriptor, 0);
  close(descriptor);
  ASSERT_NE(bytes, MAP_FAILED);
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes);
  std::array<char, 4200> path;
  for (const std::uintptr_t at : {begin, begin + 4096, begin + 3 * 4096 - 1}) {
    ASSERT_TRUE(mapped_file_at(at, path.data(), path.size()));
    EXPECT_EQ(std::string(path.data()), std::filesystem::canonical(file).string());
  }
  std::array<char, 8> small;
  ASSERT_TRUE(mapped_file_at(begin, small.data(), small.size()));
  EXPECT_EQ(std::string(small.data()).size(), 7u) << "cut, and ended";
  munmap(bytes, 3 * 4096);
  EXPECT_FALSE(mapped_file_at(begin, path.data(), path.size()) && std::string(path.data()) == file);
  EXPECT_FALSE(mapped_file_at(8, path.data(), path.size())) << "nothing is mapped there";
}

}  // namespace
}  // namespace expertscope::testing
