// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string_view>

#include "tests/support/model_folder.h"

namespace expertscope {
namespace {

using ::testing::HasSubstr;

TEST(MappedFile, ShowsTheBytesOfAFileAndSurvivesAMove) {
  const testing::ModelFolder folder;
  folder.write("a", "expert");
  auto mapped = MappedFile::open(folder / "a");
  ASSERT_TRUE(mapped);
  MappedFile moved = std::move(*mapped);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(moved.data()), moved.size()), "expert");
  EXPECT_EQ(mapped->data(), nullptr);
  EXPECT_EQ(moved.path(), folder / "a");
}

TEST(MappedFile, AnEmptyFileIsAnEmptyMapping) {
  const testing::ModelFolder folder;
  folder.write("empty", "");
  const auto mapped = MappedFile::open(folder / "empty");
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->size(), 0u);
}

TEST(MappedFile, ErrorsNameTheFileAndTheReason) {
  const testing::ModelFolder folder;
  std::filesystem::create_symlink(folder / "gone", folder / "link");
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  const auto message = [&](const char* name) { return MappedFile::open(folder / name).error().message; };
  EXPECT_EQ(message("missing"),
            (folder / "missing").string() + ": cannot be opened: No such file or directory");
  EXPECT_THAT(message("link"), HasSubstr("a link to a file that is not there"));
  EXPECT_THAT(message("."), HasSubstr("not a regular file"));
  EXPECT_THAT(message("fifo"), HasSubstr("not a regular file"));
}

TEST(ReadFile, RefusesMoreThanTheCallerAllows) {
  const testing::ModelFolder folder;
  folder.write("a", "1234");
  EXPECT_EQ(read_file(folder / "a", 4), "1234");
  EXPECT_THAT(read_file(folder / "a", 3).error().message, HasSubstr("4 bytes, more than the 3"));
  EXPECT_THAT(read_file(folder / "b", 3).error().message, HasSubstr("No such file"));
}

}  // namespace
}  // namespace expertscope
