// SPDX-License-Identifier: GPL-3.0-or-later
// A report's file is written as a whole or not at all.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "probes/report/report.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(WriteFile, ReplacesTheFileAsAWhole) {
  const TemporaryFolder folder;
  EXPECT_OK(write_file(folder / "r.html", "one"));
  EXPECT_OK(write_file(folder / "r.html", "two"));
  EXPECT_EQ(content(folder / "r.html"), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1)
      << "no temporary is left";
}

TEST(WriteFile, FollowsALink) {
  const TemporaryFolder folder;
  EXPECT_OK(write_file(folder / "real.html", "one"));
  std::filesystem::create_symlink(folder / "real.html", folder / "link.html");
  EXPECT_OK(write_file(folder / "link.html", "two"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link.html"));
  EXPECT_EQ(content(folder / "real.html"), "two");
}

TEST(WriteFile, NamesTheFileItCannotWrite) {
  const TemporaryFolder folder;
  const auto missing = write_file(folder / "no/such/folder/r.html", "x");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::io);
  EXPECT_NE(missing.error().message.find("no/such/folder/r.html: cannot write: No such file"),
            std::string::npos);
  const auto directory = write_file(folder.path(), "x");
  ASSERT_FALSE(directory);
  EXPECT_NE(directory.error().message.find("Is a directory"), std::string::npos);
  const auto full = write_file("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::disk_full);
  EXPECT_OK(write_file("/dev/null", "x"));
}

}  // namespace
}  // namespace expertscope::testing
