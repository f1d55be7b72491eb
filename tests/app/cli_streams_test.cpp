// SPDX-License-Identifier: GPL-3.0-or-later
// Standard streams that are closed, full, or read by nobody: no result is lost without a word, and no message
// that cannot be shown takes the result with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CliStreams : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory_symlink(data_path("models/top8"), scratch_ / "model");
    const auto recorded =
        run_shell(scratch_.path(), R"("$CLI" generate model --prompt a --max-tokens 2 --trace t.db)");
    ASSERT_EQ(recorded.exit_code, 0) << recorded.err;
  }
  ProcessResult shell(const std::string& script) { return run_shell(scratch_.path(), script); }
  json newest_run(const std::string& trace) {
    return run_cli_json({"info", scratch_ / trace, "--json"})["runs"].back();
  }

  TemporaryFolder scratch_;
};

TEST_F(CliStreams, ResultsNeedNoStandardError) {
  const std::vector<std::string> commands = {"info t.db", "tokenize model --text a",
                                             "generate model --prompt a --max-tokens 2 --temperature 0",
                                             "analyze t.db load", "analyze t.db load --json"};
  for (const std::string& command : commands) {
    const ProcessResult usual = shell(R"("$CLI" )" + command);
    ASSERT_EQ(usual.exit_code, 0) << command << usual.err;
    for (const char* error : {" 2>&-", " 2>/dev/full"}) {
      const ProcessResult result = shell(R"("$CLI" )" + command + error);
      EXPECT_EQ(result.exit_code, 0) << command << error;
      EXPECT_EQ(result.out, usual.out) << command << error;
    }
  }
}

TEST_F(CliStreams, FailuresKeepTheirExitCodeWithoutStandardError) {
  for (const char* error : {" 2>&-", " 2>/dev/full"}) {
    EXPECT_EQ(shell(std::string(R"("$CLI" info nothing)") + error).exit_code, 1) << error;
    EXPECT_EQ(shell(std::string(R"("$CLI" frobnicate)") + error).exit_code, 2) << error;
    EXPECT_EQ(shell(std::string(R"("$CLI")") + error).exit_code, 2) << error;
    EXPECT_EQ(shell(std::string(R"("$CLI" generate model --promt a)") + error).exit_code, 2) << error;
  }
}

TEST_F(CliStreams, AResultThatCannotBeWrittenIsAFailure) {
  const std::vector<std::string> commands = {"--help",
                                             "--version",
                                             "generate --help",
                                             "info",
                                             "info model --json",
                                             "info t.db",
                                             "tokenize model --text a",
                                             "analyze t.db load",
                                             "analyze t.db entropy --format csv",
                                             "generate model --prompt a --max-tokens 2",
                                             "generate model --prompt a --max-tokens 2 --json",
                                             "logits model --ids 1,2 --out x.npy --json",
                                             "logits model --ids 1,2 --out -",
                                             "report t.db --out -",
                                             "report t.db --out r.html --json"};
  for (const std::string& command : commands) {
    for (const char* output : {" >&-", " >/dev/full"}) {
      const ProcessResult result = shell(R"("$CLI" )" + command + output);
      EXPECT_EQ(result.exit_code, 1) << command << output << result.err;
      EXPECT_THAT(result.err, HasSubstr("error: standard output: cannot write")) << command << output;
    }
  }
}

// A file that takes the number of a closed stream would get the messages meant for it.
TEST_F(CliStreams, NoFileTakesThePlaceOfAClosedStream) {
  const ProcessResult result =
      shell(R"("$CLI" generate model --prompt a --max-tokens 2 --trace new.db <&- >&- 2>&-; echo $?)");
  EXPECT_EQ(result.out, "1\n");
  EXPECT_EQ(newest_run("new.db")["status"], "interrupted");
  EXPECT_EQ(shell(R"("$CLI" report t.db --out r.html <&- >&- 2>&-)").exit_code, 0);
  EXPECT_THAT(read_file(scratch_ / "r.html"), StartsWith("<!DOCTYPE html>"));
}

// `... | head -1`: the reader goes away in the middle.
TEST_F(CliStreams, AGenerationThatNobodyReadsAnyMoreKeepsWhatItRecorded) {
  const ProcessResult result = shell(
      R"({ "$CLI" generate model --prompt a --max-tokens 500 --ignore-eos --seed 3 --trace new.db; echo "code $?" >&2; } | head -c 1)");
  EXPECT_THAT(result.err, HasSubstr("error: standard output: cannot write: Broken pipe"));
  EXPECT_THAT(result.err, HasSubstr("code 1"));
  const json run = newest_run("new.db");
  EXPECT_EQ(run["status"], "interrupted");
  EXPECT_GE(run["tokens"], 1);
  EXPECT_LT(run["tokens"], 500);
  EXPECT_THAT(run["message"], HasSubstr("standard output"));
}

TEST_F(CliStreams, StandardErrorThatNobodyReadsEndsNothing) {
  const ProcessResult result =
      shell(R"({ "$CLI" analyze t.db load 2>&3; echo "code $?"; } 3>&1 >out | true; cat out)");
  EXPECT_THAT(result.out, HasSubstr("code 0"));
  EXPECT_THAT(result.out, HasSubstr("layer"));
}

}  // namespace
}  // namespace expertscope::testing
