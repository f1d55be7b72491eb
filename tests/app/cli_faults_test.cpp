// SPDX-License-Identifier: GPL-3.0-or-later
// What a system ends other programs for: a file that is shortened while it is mapped, a file that may not
// grow. This one says what happened, closes its recording and ends with 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class CliFaults : public ::testing::Test {
 protected:
  CliFaults() {
    std::filesystem::copy(data_path("models/top8"), model_);
    std::filesystem::permissions(model_ + "/model.safetensors", std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    json config = json::parse(read_file(model_ + "/config.json"));
    config["max_position_embeddings"] = kContext;
    std::filesystem::permissions(model_ + "/config.json", std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    write_file(model_ + "/config.json", config.dump());
  }
  /// Generates for longer than any test takes, records, and does `fault` once something is recorded.
  ProcessResult generate(const std::function<void()>& fault) {
    return run_cli({"generate", model_, "--prompt", "Hello", "--max-tokens", std::to_string(kContext),
                    "--ignore-eos", "--trace", trace_},
                   [&](int pid) {
                     const auto recorded = [&] {
                       std::error_code error;
                       return std::filesystem::file_size(trace_ + "-wal", error) > 700'000 && !error;
                     };
                     EXPECT_TRUE(wait_until(recorded));
                     fault();
                     let_end(pid);
                   });
  }
  json run() const { return run_cli_json({"info", trace_, "--json"})["runs"][0]; }

  static constexpr int kContext = 100'000;
  TemporaryFolder scratch_;
  std::string model_ = scratch_ / "model";
  std::string trace_ = scratch_ / "t.db";
};

TEST_F(CliFaults, WeightsThatAreShortenedWhileInUseEndTheRunInOrder) {
  const ProcessResult result =
      generate([&] { std::filesystem::resize_file(model_ + "/model.safetensors", 100); });
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("error: "));
  EXPECT_THAT(result.err,
              HasSubstr("model.safetensors: was shortened by another program while it was in use"));
  EXPECT_EQ(run()["status"], "failed");
  EXPECT_THAT(run()["message"].get<std::string>(), HasSubstr("model.safetensors: was shortened"));
  EXPECT_GT(run()["tokens"], 0);
}

TEST_F(CliFaults, AnIndexOfTheLogThatIsShortenedEndsTheRunAndLosesNothingThatWasCommitted) {
  const ProcessResult result = generate([&] { std::filesystem::resize_file(trace_ + "-shm", 0); });
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("t.db"));
  EXPECT_GT(run()["tokens"], 0);
  EXPECT_NE(run()["status"], "recording");
}

TEST_F(CliFaults, ATraceThatIsDeletedEndsTheRunWithAnError) {
  const ProcessResult result = generate([&] { std::filesystem::remove(trace_); });
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("t.db: was deleted, moved or replaced while it was written"));
  EXPECT_THAT(result.err, HasSubstr("nothing of run 1 can be relied on"));
}

TEST_F(CliFaults, WeightsThatAreWrittenToWhileInUseAreSaid) {
  const ProcessResult result = generate([&] {
    const auto now = std::filesystem::file_time_type::clock::now();
    std::filesystem::last_write_time(model_ + "/model.safetensors", now + std::chrono::hours(1));
    std::filesystem::remove(trace_);  // ends the run
  });
  const std::string said = "model.safetensors changed while the model was in use";
  EXPECT_THAT(result.err, HasSubstr(said));
  EXPECT_EQ(result.err.find(said), result.err.rfind(said)) << "once: " << result.err;
}

/// No file of the programs that begin while it exists may grow beyond `bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

TEST_F(CliFaults, AFileThatMayNotGrowIsAFullDisk) {
  ProcessResult result;
  {
    const FileSizeLimit limit(900'000);
    result = run_cli({"generate", model_, "--prompt", "Hello", "--max-tokens", std::to_string(kContext),
                      "--ignore-eos", "--trace", trace_});
  }
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("t.db: no space left for the trace"));
  EXPECT_THAT(result.err,
              HasSubstr("t.db keeps " + std::to_string(run()["tokens"].get<int>()) + " tokens of run 1"));
  EXPECT_EQ(run()["status"], "failed");
}

TEST_F(CliFaults, ResultsThatMayNotGrowAreAFullDiskToo) {
  const FileSizeLimit limit(100);
  const ProcessResult logits =
      run_cli({"logits", data_path("models/top8"), "--ids", "1,2,3", "--out", scratch_ / "l.npy"});
  EXPECT_EQ(logits.exit_code, 1) << "not ended by SIGXFSZ";
  EXPECT_THAT(logits.err, HasSubstr("l.npy"));
}

}  // namespace
}  // namespace expertscope::testing
