// SPDX-License-Identifier: GPL-3.0-or-later
// An output appears as a whole or not at all, and nothing that lies beside it is written or followed.
#include "engine/formats/output_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace expertscope {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;

// What a temporary is called; the digits are any.
constexpr const char* kStale = ".expertscope-0123456789abcdef0123456789abcdef.part";

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void put(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

std::vector<std::string> names(const TemporaryFolder& folder) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    found.push_back(entry.path().filename().string());
  std::sort(found.begin(), found.end());
  return found;
}

mode_t permissions(const std::filesystem::path& file) {
  struct stat info {};
  EXPECT_EQ(stat(file.c_str(), &info), 0);
  return info.st_mode & 0777;
}

void expect_refused(const Status& status, ErrorCode code, const ::testing::Matcher<std::string>& message) {
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, code);
  EXPECT_THAT(status.error().message, message);
}

// A process that writes this file, and does not come to its end.
class Writer {
 public:
  explicit Writer(const std::filesystem::path& file) {
    std::array<int, 2> begun;
    EXPECT_EQ(pipe2(begun.data(), O_CLOEXEC), 0);
    child_ = fork();
    if (child_ == 0) {
      auto output = OutputFile::create(file);
      const bool written = output && output->write("half of it") && ::write(begun[1], "x", 1) == 1;
      if (written) pause();
      _exit(1);
    }
    close(begun[1]);
    char byte = 0;
    EXPECT_EQ(read(begun[0], &byte, 1), 1) << "the writer did not begin";
    close(begun[0]);
  }
  ~Writer() { kill_hard(); }
  void kill_hard() {
    if (child_ <= 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  pid_t child_ = 0;
};

TEST(OutputFile, ReplacesTheFileAsAWhole) {
  const TemporaryFolder folder;
  EXPECT_TRUE(write_file(folder / "r.html", "one"));
  auto output = OutputFile::create(folder / "r.html");
  ASSERT_TRUE(output);
  EXPECT_TRUE(output->write("tw"));
  EXPECT_TRUE(output->write("o"));
  EXPECT_EQ(content(folder / "r.html"), "one");
  EXPECT_TRUE(output->finish());
  EXPECT_EQ(content(folder / "r.html"), "two");
  EXPECT_THAT(names(folder), ElementsAre("r.html"));
}

TEST(OutputFile, LeavesNothingWhenItIsNotFinished) {
  const TemporaryFolder folder;
  {
    auto output = OutputFile::create(folder / "l.npy");
    ASSERT_TRUE(output);
    EXPECT_TRUE(output->write("half"));
    EXPECT_EQ(content(output->temporary()), "half");
  }
  EXPECT_THAT(names(folder), ElementsAre());
}

TEST(OutputFile, ALinkStaysALink) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "elsewhere");
  std::filesystem::create_symlink("elsewhere/real.html", folder / "link.html");
  for (const char* text : {"not there before", "replaced"}) {
    EXPECT_TRUE(write_file(folder / "link.html", text));
    EXPECT_TRUE(std::filesystem::is_symlink(folder / "link.html"));
    EXPECT_EQ(content(folder / "elsewhere/real.html"), text);
  }
  std::filesystem::create_symlink("loop", folder / "loop");
  expect_refused(write_file(folder / "loop", "x"), ErrorCode::io, HasSubstr("Too many levels"));
}

// What a name that can be guessed is open to: a link or a file of that name, put there beforehand.
TEST(OutputFile, WritesNothingThatLiesBesideTheFile) {
  const TemporaryFolder folder;
  put(folder / "precious", "kept");
  for (const std::string& name : {std::string("l.npy.part"), fmt::format("l.npy.{}.tmp", getpid())})
    std::filesystem::create_symlink(folder / "precious", folder / name);
  put(folder / "l.npy.tmp", "kept");
  const auto before = names(folder);
  EXPECT_TRUE(write_file(folder / "l.npy", "numbers"));
  EXPECT_EQ(content(folder / "precious"), "kept");
  EXPECT_EQ(content(folder / "l.npy.tmp"), "kept");
  EXPECT_EQ(names(folder).size(), before.size() + 1);
}

TEST(OutputFile, TemporariesHaveNamesOfTheirOwn) {
  const TemporaryFolder folder;
  auto one = OutputFile::create(folder / "a");
  auto other = OutputFile::create(folder / "a");
  ASSERT_TRUE(one && other);
  EXPECT_NE(one->temporary(), other->temporary());
  EXPECT_TRUE(one->write("one") && other->write("other"));
  EXPECT_TRUE(one->finish() && other->finish());
  EXPECT_EQ(content(folder / "a"), "other") << "the one that was finished last";
}

TEST(OutputFile, AFileKeepsItsPermissions) {
  const TemporaryFolder folder;
  put(folder / "secret", "one");
  ASSERT_EQ(chmod((folder / "secret").c_str(), 0600), 0);
  EXPECT_TRUE(write_file(folder / "secret", "two"));
  EXPECT_EQ(permissions(folder / "secret"), 0600u);
  auto output = OutputFile::create(folder / "trace", 0600);
  ASSERT_TRUE(output && output->finish());
  EXPECT_EQ(permissions(folder / "trace"), 0600u);
}

TEST(OutputFile, TheNameMayBeAsLongAsTheSystemAllows) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  EXPECT_TRUE(write_file(folder / name, "x"));
  EXPECT_THAT(names(folder), ElementsAre(name));
}

TEST(OutputFile, WhatAKilledWriterLeftIsRemovedByTheNextOne) {
  const TemporaryFolder folder;
  Writer killed(folder / "report.html");
  killed.kill_hard();
  ASSERT_EQ(names(folder).size(), 1u) << "nothing can clean up after a SIGKILL at once";
  EXPECT_TRUE(write_file(folder / "other.npy", "x"));
  EXPECT_THAT(names(folder), ElementsAre("other.npy"));
}

TEST(OutputFile, WhatALivingWriterWritesIsLeftAlone) {
  const TemporaryFolder folder;
  const Writer living(folder / "report.html");
  EXPECT_TRUE(write_file(folder / "other.npy", "x"));
  EXPECT_EQ(names(folder).size(), 2u);
}

TEST(OutputFile, OnlyFilesOfItsOwnAreRemoved) {
  const TemporaryFolder folder;
  put(folder / "precious", "kept");
  std::filesystem::create_symlink(folder / "precious", folder / kStale);
  std::filesystem::create_directory(folder / ".expertscope-ffffffffffffffffffffffffffffffff.part");
  ASSERT_EQ(mkfifo((folder / ".expertscope-00000000000000000000000000000000.part").c_str(), 0600), 0);
  for (const char* name : {".expertscope-0123.part", ".expertscope-0123456789ABCDEF0123456789abcdef.part",
                           "expertscope-0123456789abcdef0123456789abcdef.part", "a.part", "a.tmp"})
    put(folder / name, "kept");
  const auto before = names(folder).size();
  EXPECT_TRUE(write_file(folder / "out", "x"));
  EXPECT_EQ(names(folder).size(), before + 1);
  EXPECT_EQ(content(folder / "precious"), "kept");
}

TEST(OutputFile, NamesTheFileItCannotWrite) {
  const TemporaryFolder folder;
  expect_refused(write_file(folder / "no/such/folder/r.html", "x"), ErrorCode::io,
                 HasSubstr("no/such/folder/r.html: cannot write: No such file"));
  expect_refused(write_file(folder.path(), "x"), ErrorCode::io, HasSubstr("Is a directory"));
  expect_refused(write_file(folder / "new/", "x"), ErrorCode::io, HasSubstr("Is a directory"));
  expect_refused(write_file("/dev/full", "x"), ErrorCode::disk_full, HasSubstr("/dev/full"));
  EXPECT_TRUE(write_file("/dev/null", "x"));
}

TEST(CheckOutput, RefusesInputsWhateverTheyAreCalled) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "model");
  put(folder / "blob", "weights");
  put(folder / "model/config.json", "{}");
  std::filesystem::create_symlink(folder / "blob", folder / "model/model.safetensors");
  std::filesystem::create_hard_link(folder / "model/config.json", folder / "r.html");
  const auto check = [&](const std::string& name) {
    return check_output(folder / name, {{"a file of the model", folder / "model"}, {"nothing", {}}});
  };
  for (const char* name :
       {"model/config.json", "model/../model/config.json", "r.html", "model/model.safetensors", "blob"})
    expect_refused(check(name), ErrorCode::invalid_argument, HasSubstr("this is a file of the model"));
  for (const char* name : {"model/report.html", "new.html"})
    EXPECT_TRUE(check(name)) << name;
  expect_refused(check_output(folder / "blob", {{"the file that --data reads", folder / "blob"}}),
                 ErrorCode::invalid_argument, HasSubstr("this is the file that --data reads"));
}

TEST(CheckOutput, RefusesWhatSqliteKeepsBesideATrace) {
  const TemporaryFolder folder;
  put(folder / "t.db", "");
  for (const char* name : {"t.db-wal", "t.db-shm", "t.db-journal"}) {
    expect_refused(check_output(folder / name, {}), ErrorCode::invalid_argument,
                   AllOf(HasSubstr(name), HasSubstr("belongs to the trace")));
  }
  EXPECT_TRUE(check_output(folder / "great-wal", {})) << "beside no file \"great\"";
}

TEST(WriteFully, TellsWhatEndedIt) {
  std::array<int, 2> ends;
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  EXPECT_EQ(write_fully(ends[1], "text"), 0);
  EXPECT_EQ(write_fully(ends[0], "text"), EBADF);
  EXPECT_EQ(write_fully(ends[0], ""), 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace expertscope
