// SPDX-License-Identifier: GPL-3.0-or-later
// What the command line makes of words: numbers, misspelt names, values that are not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string model() {
  return data_path("models/top8");
}

nlohmann::json sampling(const std::vector<std::string>& more) {
  std::vector<std::string> call = {"generate", model(), "--ids", "1", "--max-tokens", "1", "--json"};
  call.insert(call.end(), more.begin(), more.end());
  return run_cli_json(call)["sampling"];
}

void expect_wrong(const std::vector<std::string>& call, const ::testing::Matcher<std::string>& message) {
  const ProcessResult result = run_cli(call);
  EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(call) << result.err;
  EXPECT_EQ(result.out, "") << ::testing::PrintToString(call);
  EXPECT_THAT(result.err, AllOf(StartsWith("error: "), message)) << ::testing::PrintToString(call);
}

TEST(CliNumbers, AreDecimalWhateverTheyBeginWith) {
  EXPECT_EQ(sampling({"--seed", "010"})["seed"], 10);
  EXPECT_EQ(sampling({"--top-k", "010"})["top_k"], 10);
  EXPECT_EQ(sampling({"--seed", "18446744073709551615"})["seed"], 18446744073709551615u);
  EXPECT_EQ(sampling({"--temperature", "00.50"})["temperature"], 0.5);
  EXPECT_EQ(sampling({"--top-p", "9e-1"})["top_p"], 0.9);
  const auto tokens = run_cli_json({"generate", model(), "--ids", "1", "--max-tokens", "010", "--ignore-eos",
                                    "--temperature", "0", "--json"});
  EXPECT_EQ(tokens["ids"].size(), 10u);
}

TEST(CliNumbers, ThatDoNotFitAreRefusedByName) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong = {
      {"--seed", {"-1", "18446744073709551616", "1e3", "0x10", "", " 1", "1.0", "+1", "1_000", "nan"}},
      {"--max-tokens", {"-1", "10000001", "99999999999999999999", "0x10", "1.5", "", "12abc", "nan"}},
      {"--context", {"0", "-5", "2147483648", "1e7"}},
      {"--top-k", {"-1", "4294967296", "2.0"}},
      {"--threads", {"-1", "4097", "two"}},
      {"--temperature", {"nan", "inf", "-0.1", "0,7", "0.7f", "", "0x1p-1", "1e400"}},
      {"--top-p", {"1.1", "0,9"}},
      {"--min-p", {"-1e-9"}},
      {"--repetition-penalty", {"0", "1e9"}},
  };
  for (const auto& [option, values] : wrong) {
    for (const std::string& value : values)
      expect_wrong({"generate", model(), "--ids", "1", option, value}, HasSubstr(option + ": "));
  }
  expect_wrong({"generate", model(), "--ids", "1,99999999999"}, HasSubstr("--ids"));
  expect_wrong({"generate", model(), "--ids", ""}, HasSubstr("--ids"));
  expect_wrong({"analyze", "t.db", "load", "--run", "1e3"}, HasSubstr("--run"));
  expect_wrong({"analyze", "t.db", "load", "--run", "0"}, HasSubstr("--run"));
  expect_wrong({"profile", "m", "--data", "d", "--trace", "t", "--seq-len", "0"}, HasSubstr("--seq-len"));
  expect_wrong({"profile", "m", "--data", "d", "--trace", "t", "--sequences", "9999999999"},
               HasSubstr("--sequences"));
  expect_wrong({"ppl", "m", "--data", "d", "--stride", "0"}, HasSubstr("--stride"));
  expect_wrong({"ppl", "m", "--data", "d", "--ctx", "1"}, HasSubstr("--ctx: "));
  expect_wrong({"report", "t.db", "--out", "r", "--baseline", "b", "--model", "m", "--kl-tokens", "-1"},
               HasSubstr("--kl-tokens"));
  expect_wrong({"info", "--context", "1O"}, HasSubstr("--context"));
}

TEST(CliNames, ThatAreMisspeltAreNamedWithTheNearest) {
  expect_wrong({"generat", "m"}, HasSubstr("there is no command 'generat'; did you mean generate?"));
  expect_wrong({"tokenise", "m"}, HasSubstr("did you mean tokenize?"));
  expect_wrong({"generate", "m", "--promt", "a"},
               HasSubstr("generate has no option --promt; did you mean --prompt?"));
  expect_wrong({"generate", "m", "--prompt", "a", "--temprature=1"},
               HasSubstr("no option --temprature; did you mean --temperature?"));
  expect_wrong({"generate", "m", "--prompt", "a", "--temp", "1"}, HasSubstr("did you mean --temperature?"));
  expect_wrong({"generate", "m", "-prompt", "a"}, HasSubstr("no option -prompt; did you mean --prompt?"));
  expect_wrong({"report", "t.db", "--output", "r.html"}, HasSubstr("report has no option --output"));
  expect_wrong({"logits", "m", "--ids", "1", "--outt", "l.npy"}, HasSubstr("did you mean --out?"));
  expect_wrong({"--versoin"}, HasSubstr("expertscope-cli has no option --versoin; did you mean --version?"));
  expect_wrong({"analyze", "t.db", "superexperts"}, HasSubstr("did you mean super-experts?"));
  expect_wrong({"analyze", "t.db", "load", "--format", "jason"}, HasSubstr("did you mean json?"));
  expect_wrong({"generate", "m", "--zzz", "1"},
               AllOf(HasSubstr("generate has no option --zzz"), Not(HasSubstr("did you mean"))));
  expect_wrong({"qqqqqq"}, AllOf(HasSubstr("there is no command 'qqqqqq'; --help lists them")));
  expect_wrong({"info", "a", "b"}, HasSubstr("b"));
}

TEST(CliNames, WithoutTheirValueAreRefused) {
  expect_wrong({"generate", "m", "--prompt"}, HasSubstr("--prompt needs a value"));
  expect_wrong({"generate", "m", "--prompt", "a", "--trace"}, HasSubstr("--trace needs a value"));
  expect_wrong({"generate", "m", "--prompt", "a", "--trace", "--json"},
               HasSubstr("--trace needs a value, and --json is an option (as a value: --trace=--json)"));
  expect_wrong({"logits", "m", "--out", "--ids", "1"}, HasSubstr("--out needs a value"));
  expect_wrong({"generate", "m", "--prompt", "a", "--trace=", "--json"},
               HasSubstr("--trace: the name of the file is empty"));
  expect_wrong({"generate", "m", "--prompt", "a", "--seed=", "5"}, HasSubstr("--seed"));
  expect_wrong({"info", "m", "--json=yes"}, HasSubstr("--json takes no value"));
}

TEST(CliNames, InValuesAreText) {
  const auto ids = [](const std::vector<std::string>& text) {
    std::vector<std::string> call = {"tokenize", model(), "--json"};
    call.insert(call.end(), text.begin(), text.end());
    return run_cli_json(call)["ids"];
  };
  EXPECT_EQ(ids({"--text", "--hello"}), ids({"--text=--hello"}));
  EXPECT_EQ(ids({"--text="}), ids({"--text", ""}));
  EXPECT_NE(ids({"--text=--json"}), ids({"--text="}));
  EXPECT_EQ(ids({"--text", "--json"}), ids({"--text=--json"}));
}

}  // namespace
}  // namespace expertscope::testing
