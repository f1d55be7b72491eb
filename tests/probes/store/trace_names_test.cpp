// SPDX-License-Identifier: GPL-3.0-or-later
// A trace is a file, whatever its name means to SQLite, and one that can be written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probes/store/trace_copy.h"
#include "tests/probes/synthetic.h"

namespace expertscope::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Where names are relative ones.
class TraceNames : public ::testing::Test {
 protected:
  TraceNames() { std::filesystem::current_path(folder_.path()); }
  ~TraceNames() override { std::filesystem::current_path(before_); }

  static void record(const std::filesystem::path& file) {
    const Shape shape;
    auto recorder = value_of(Recorder::start(file, run_info(shape)));
    EXPECT_OK(
        recorder->deliver(make_block(shape, CaptureRequest::standard(), {0, 3, 0, 0}, recorder->acquire())));
    EXPECT_OK(recorder->finish("finished"));
  }
  static std::int64_t tokens_of(const std::filesystem::path& file) {
    return value_of(open_trace(file)->run(1)).tokens;
  }
  static std::string refusal(const std::filesystem::path& file) {
    const auto recorder = Recorder::start(file, run_info(Shape()));
    return recorder ? "recorded" : recorder.error().message;
  }

  std::filesystem::path before_ = std::filesystem::current_path();
  TemporaryFolder folder_;
};

TEST_F(TraceNames, AreNeverAddresses) {
  for (const char* name :
       {"file:a.db", "file:b.db?mode=memory", ":memory:", "file::memory:", "file:c%20d.db", "-"}) {
    record(name);
    EXPECT_TRUE(std::filesystem::is_regular_file(name)) << name;
    EXPECT_EQ(tokens_of(name), 3) << name;
    EXPECT_EQ(tokens_of(folder_ / name), 3) << name;
  }
}

TEST_F(TraceNames, OfCopiesAreNeverAddressesEither) {
  record("t.db");
  std::filesystem::create_directory("file:folder");
  for (const char* name : {"file:a.db?mode=memory", ":memory:", "file:folder/copy.db"}) {
    EXPECT_OK(copy_trace("t.db", name));
    EXPECT_EQ(tokens_of(name), 3) << name;
  }
}

TEST_F(TraceNames, AreNotEmpty) {
  EXPECT_THAT(refusal(""), HasSubstr("the name of the trace is empty"));
}

TEST_F(TraceNames, OfPipesAreRefusedAtOnce) {
  ASSERT_EQ(mkfifo("pipe", 0600), 0);
  EXPECT_THAT(refusal("pipe"), HasSubstr("pipe: is a pipe or a device, not a trace"));
  const auto read = TraceReader::open("pipe");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("not a trace"));
  record("t.db");
  ASSERT_EQ(mkfifo("t.db-journal", 0600), 0);
  const auto beside = TraceReader::open("t.db");
  ASSERT_FALSE(beside);
  EXPECT_THAT(beside.error().message, HasSubstr("t.db-journal: is a pipe or a device"));
}

TEST_F(TraceNames, CopiesAreForTheirOwnerAndLeaveNothingBehind) {
  record("t.db");
  EXPECT_OK(copy_trace("t.db", "copy.db"));
  struct stat info {};
  ASSERT_EQ(stat("copy.db", &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(copy_trace("t.db", "/dev/null"));
  EXPECT_FALSE(copy_trace("t.db", "no/such/folder/copy.db"));
  for (const auto& entry : std::filesystem::directory_iterator("."))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
}

TEST_F(TraceNames, OfWhatCannotBeWrittenAreRefusedWithTheReason) {
  record("t.db");
  std::filesystem::create_directory("locked");
  std::filesystem::copy("t.db", "locked/t.db");
  ASSERT_EQ(chmod("locked/t.db", 0666), 0);
  ASSERT_EQ(chmod("t.db", 0444), 0);
  ASSERT_EQ(chmod("locked", 0555), 0);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0777), 0);
  const uid_t user = geteuid();
  // To root nothing is read-only.
  if (user == 0) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const std::string file = refusal("t.db");
  const std::string folder = refusal("locked/t.db");
  const std::string fresh = refusal("locked/new.db");
  if (user == 0) {
    ASSERT_EQ(seteuid(user), 0);
  }
  EXPECT_THAT(file,
              AllOf(HasSubstr("t.db: cannot be written (Permission denied)"), HasSubstr("into a copy")));
  for (const std::string& text : {folder, fresh})
    EXPECT_THAT(text, HasSubstr("its folder locked cannot be written (Permission denied)"));
  ASSERT_EQ(chmod("locked", 0755), 0);
}

}  // namespace
}  // namespace expertscope::testing
