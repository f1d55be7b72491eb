// SPDX-License-Identifier: GPL-3.0-or-later
// Every so often an allocation of the program fails, alone or with all that come after it. Whichever it is,
// the program ends with 0 or with 1 and a message, and no recording stays open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

/// Variables of the environment for the programs that begin while it exists.
class Environment {
 public:
  void set(const char* name, const std::string& value) {
    setenv(name, value.c_str(), 1);
    names_.emplace_back(name);
  }
  ~Environment() {
    for (const std::string& name : names_)
      unsetenv(name.c_str());
  }

 private:
  std::vector<std::string> names_;
};

struct Job {
  const char* name;
  std::vector<std::string>
      arguments;  ///< TRACE stands for a trace to record into, KEPT for one that is there
  int steps;      ///< of the sweep
};

class CliMemory : public ::testing::TestWithParam<Job> {
 protected:
  void SetUp() override {
    kept_ = scratch_ / "kept.db";
    ASSERT_EQ(run_cli({"generate", data_path("models/top1"), "--ids", "1,2,3", "--max-tokens", "4",
                       "--threads", "2", "--trace", kept_})
                  .exit_code,
              0);
  }
  std::vector<std::string> arguments(const std::string& trace) const {
    std::vector<std::string> all;
    for (const std::string& argument : GetParam().arguments)
      all.push_back(argument == "TRACE" ? trace : argument == "KEPT" ? kept_ : argument);
    return all;
  }
  long allocations() {
    Environment environment;
    environment.set("LD_PRELOAD", FAIL_MALLOC);
    environment.set("FAIL_MALLOC_COUNT", scratch_ / "count");
    EXPECT_EQ(run_cli(arguments(scratch_ / "counted.db")).exit_code, 0);
    return std::stol(read_file(scratch_ / "count"));
  }
  void fail_at(long number, bool all) {
    const std::string trace = scratch_ / ("t" + std::to_string(number) + (all ? "all.db" : ".db"));
    ProcessResult result;
    {
      Environment environment;
      environment.set("LD_PRELOAD", FAIL_MALLOC);
      environment.set("FAIL_MALLOC_AT", std::to_string(number));
      if (all) environment.set("FAIL_MALLOC_ALL", "1");
      result = run_cli(arguments(trace));
    }
    SCOPED_TRACE("allocation " + std::to_string(number) + (all ? " and all later ones: " : ": ") +
                 result.err);
    EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 1) << result.exit_code;
    if (result.exit_code == 1) {
      EXPECT_THAT(result.err, ::testing::HasSubstr("error: "));
    }
    if (!std::filesystem::exists(trace)) return;
    const ProcessResult info = run_cli({"info", trace, "--json"});
    if (info.exit_code != 0) return;  // it was not made yet
    for (const auto& run : nlohmann::json::parse(info.out)["runs"])
      EXPECT_NE(run["status"], "recording");
  }

  TemporaryFolder scratch_;
  std::string kept_;
};

TEST_P(CliMemory, NoFailedAllocationEndsTheProgramBySignal) {
  const long total = allocations();
  ASSERT_GT(total, 100);
  for (int step = 1; step <= GetParam().steps; ++step) {
    const long number = total * step / (GetParam().steps + 1);
    fail_at(number, false);
    fail_at(number, true);
  }
  // Before main(), and in it; the recording and the output come last.
  for (const long number : {3L, 11L, 40L}) {
    fail_at(number, false);
    fail_at(number, true);
  }
  for (long back = 1; back <= GetParam().steps; ++back) {
    fail_at(total - 23 * back, false);
    fail_at(total - 23 * back, true);
  }
}

INSTANTIATE_TEST_SUITE_P(Commands, CliMemory,
                         ::testing::Values(Job{"generate",
                                               {"generate", data_path("models/top1"), "--ids", "1,2,3",
                                                "--max-tokens", "4", "--threads", "2", "--trace", "TRACE",
                                                "--json"},
                                               10},
                                           Job{"info", {"info", "KEPT", "--json"}, 8},
                                           Job{"analyze", {"analyze", "KEPT", "load", "--json"}, 8}),
                         [](const auto& job) { return job.param.name; });

}  // namespace
}  // namespace expertscope::testing
