// SPDX-License-Identifier: GPL-3.0-or-later
// Ctrl-C and SIGTERM: what has nothing to close ends at once, a recording is closed first.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr int kInterrupted = 130;

std::string named_pipe(const TemporaryFolder& folder) {
  const std::string pipe = folder / "pipe";
  EXPECT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  return pipe;
}

class CliInterrupt : public ::testing::TestWithParam<int> {
 protected:
  TemporaryFolder scratch_;
};

// Opening the other end of a named pipe waits for the program: then it reads or writes, and the signal comes
// while it does.
TEST_P(CliInterrupt, EndsAProgramThatWaitsForItsPrompt) {
  const std::string pipe = named_pipe(scratch_);
  const ProcessResult result =
      run_cli({"generate", data_path("models/top8"), "--prompt-file", pipe, "--trace", scratch_ / "t.db"},
              [&](int pid) {
                const int writer = open(pipe.c_str(), O_WRONLY);
                kill(pid, GetParam());
                let_end(pid);
                close(writer);
              });
  EXPECT_EQ(result.exit_code, kInterrupted);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "error: stopped\n");
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "t.db")) << "nothing was recorded yet";
}

TEST_P(CliInterrupt, EndsAReportThatNobodyReads) {
  write_file(scratch_ / "data.txt", data_json("golden/planted_super_experts/planted.json")["texts"][0]);
  ASSERT_EQ(run_cli({"profile", data_path("models/planted_super_experts"), "--data", scratch_ / "data.txt",
                     "--seq-len", "64", "--sequences", "1", "--trace", scratch_ / "t.db"})
                .exit_code,
            0);
  const std::string pipe = named_pipe(scratch_);
  const ProcessResult result = run_cli({"report", scratch_ / "t.db", "--out", pipe}, [&](int pid) {
    const int reader = open(pipe.c_str(), O_RDONLY);
    kill(pid, GetParam());
    let_end(pid);
    close(reader);
  });
  EXPECT_EQ(result.exit_code, kInterrupted);
  EXPECT_EQ(result.err, "error: stopped\n");
}

TEST_P(CliInterrupt, ClosesARecording) {
  // A context that takes far longer to fill than the signal takes to arrive.
  constexpr int kContext = 100'000;
  const std::string model = scratch_ / "model";
  std::filesystem::copy(data_path("models/top8"), model);
  json config = json::parse(read_file(model + "/config.json"));
  config["max_position_embeddings"] = kContext;
  write_file(model + "/config.json", config.dump());

  const std::string trace = scratch_ / "t.db";
  const ProcessResult result =
      run_cli({"generate", model, "--prompt", "Hello", "--max-tokens", std::to_string(kContext),
               "--ignore-eos", "--trace", trace},
              [&](int pid) {
                EXPECT_TRUE(wait_until([&] { return std::filesystem::exists(trace); }));
                kill(pid, GetParam());
                let_end(pid);
              });
  EXPECT_EQ(result.exit_code, kInterrupted) << result.err;
  EXPECT_THAT(result.err, HasSubstr("recorded as run 1"));
  EXPECT_THAT(result.err, HasSubstr("error: stopped\n"));
  const json run = run_cli_json({"info", trace, "--json"})["runs"][0];
  EXPECT_EQ(run["status"], "stopped");
  EXPECT_LT(run["tokens"], kContext);
}

INSTANTIATE_TEST_SUITE_P(Signals, CliInterrupt, ::testing::Values(SIGINT, SIGTERM),
                         [](const auto& signal) { return signal.param == SIGINT ? "CtrlC" : "Sigterm"; });

}  // namespace
}  // namespace expertscope::testing
