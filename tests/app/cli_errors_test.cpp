// SPDX-License-Identifier: GPL-3.0-or-later
// What a person reads when something is wrong, and what a script gets as exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kModel = "models/top8";

/// Exit code 1, one message on standard error, nothing on standard output.
void expect_failure(const std::vector<std::string>& arguments,
                    const ::testing::Matcher<std::string>& message) {
  const ProcessResult result = run_cli(arguments);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("error: "));
  EXPECT_THAT(result.err, message);
}

class CliErrors : public ::testing::Test {
 protected:
  /// A copy of a tiny model to damage.
  std::string broken_model() {
    std::filesystem::copy(data_path(kModel), scratch_.path() / "model");
    return scratch_ / "model";
  }
  std::string policy(const std::string& edit) {
    write_file(scratch_ / "p.json", R"({"version":1,"edits":[)" + edit + "]}");
    return scratch_ / "p.json";
  }
  void expect_policy_refused(const std::string& edit, const ::testing::Matcher<std::string>& message) {
    expect_failure(
        {"logits", data_path(kModel), "--ids", "1", "--out", scratch_ / "l.npy", "--policy", policy(edit)},
        AllOf(HasSubstr("p.json"), message));
    EXPECT_FALSE(std::filesystem::exists(scratch_ / "l.npy"));
  }
  void execute(const std::string& database, const char* sql) {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(database.c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(handle);
    sqlite3_close(handle);
  }

  TemporaryFolder scratch_;
};

TEST_F(CliErrors, WrongUsageIsTwo) {
  const std::vector<std::vector<std::string>> calls = {
      {},
      {"frobnicate"},
      {"info", "a", "b"},
      {"logits", "m", "--ids", "1,x", "--out", "l.npy"},
      {"logits", "m", "--ids", "1"},
      {"generate", "m"},
      {"generate", "m", "--prompt", "a", "--ids", "1"},
      {"generate", "m", "--prompt", "a", "--max-tokens", "-1"},
      {"generate", "m", "--prompt", "a", "--temperature", "nan"},
      {"generate", "m", "--prompt", "a", "--math", "f64"},
      {"ppl", "m", "--data", "d", "--protocol", "other"},
      {"analyze", "t.db", "everything"},
      {"analyze", "t.db", "load", "--format", "xml"},
      {"report", "t.db", "--out", "r.html", "--baseline-run", "1"},
      {"report", "t.db", "--out", "r.html", "--model", "m"},
      {"report", "t.db", "--out", "r.html", "--baseline", "b.db", "--kl-tokens", "9"},
  };
  for (const auto& call : calls) {
    const ProcessResult result = run_cli(call);
    EXPECT_EQ(result.exit_code, 2) << ::testing::PrintToString(call) << result.out << result.err;
    EXPECT_EQ(result.out, "") << ::testing::PrintToString(call);
    EXPECT_NE(result.err, "");
  }
}

TEST_F(CliErrors, HelpAndVersionAreZero) {
  const ProcessResult help = run_cli({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command :
       {"info", "tokenize", "logits", "generate", "profile", "ppl", "analyze", "report", "delete"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
    const ProcessResult of_command = run_cli({command, "--help"});
    EXPECT_EQ(of_command.exit_code, 0);
    EXPECT_THAT(of_command.out, HasSubstr("--json"));
  }
  EXPECT_THAT(run_cli({"--version"}).out, StartsWith("expertscope-cli "));
}

TEST_F(CliErrors, PathsThatAreNotThere) {
  expect_failure({"info", scratch_ / "nothing"}, HasSubstr("nothing: there is no such folder or file"));
  expect_failure({"generate", scratch_ / "nothing", "--prompt", "a"}, HasSubstr("nothing"));
  expect_failure({"analyze", scratch_ / "nothing.db", "load"}, HasSubstr("nothing.db"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "nothing.db")) << "reading creates nothing";
  expect_failure({"ppl", data_path(kModel), "--data", scratch_ / "nothing.txt"}, HasSubstr("nothing.txt"));
  expect_failure({"generate", data_path(kModel), "--prompt-file", scratch_ / "nothing.txt"},
                 HasSubstr("nothing.txt"));
  expect_failure({"logits", data_path(kModel), "--ids", "1", "--out", scratch_ / "l.npy", "--policy",
                  scratch_ / "nothing.json"},
                 HasSubstr("nothing.json"));
}

TEST_F(CliErrors, DamagedModels) {
  const std::string model = broken_model();
  std::filesystem::resize_file(model + "/model.safetensors", 1000);
  expect_failure({"info", model, "--json"}, HasSubstr("model.safetensors"));
  write_file(model + "/config.json", "{");
  expect_failure({"info", model}, HasSubstr("config.json"));
  write_file(model + "/config.json", R"({"architectures":["LlamaForCausalLM"],"model_type":"llama"})");
  expect_failure({"info", model}, HasSubstr("LlamaForCausalLM"));
}

TEST_F(CliErrors, NotANumberInTheWeights) {
  const std::string model = broken_model();
  std::string bytes = read_file(model + "/model.safetensors");
  bytes.replace(bytes.size() - 4, 4, std::string("\x00\x00\xc0\x7f", 4));
  write_file(model + "/model.safetensors", bytes);
  EXPECT_EQ(run_cli({"info", model}).exit_code, 0);
  expect_failure({"info", model, "--check-weights"}, HasSubstr("model."));
}

TEST_F(CliErrors, TokensOutsideTheVocabulary) {
  for (const char* ids : {"640", "1,99999", "-1"}) {
    expect_failure({"logits", data_path(kModel), std::string("--ids=") + ids, "--out", scratch_ / "l.npy"},
                   HasSubstr("vocabulary of 640"));
  }
}

TEST_F(CliErrors, ModelsWithoutATokenizerSayWhatToDo) {
  expect_failure({"generate", data_path("models/top1"), "--prompt", "a"}, HasSubstr("--ids"));
  expect_failure({"tokenize", data_path("models/top1"), "--text", "a"}, HasSubstr("tokenizer.json"));
}

TEST_F(CliErrors, TextThatIsNotUtf8) {
  expect_failure({"tokenize", data_path(kModel), "--text", "a\xff"}, HasSubstr("UTF-8"));
  expect_failure({"generate", data_path(kModel), "--prompt", "a\xff"}, HasSubstr("UTF-8"));
}

TEST_F(CliErrors, PoliciesThatDoNotFitTheModel) {
  expect_policy_refused(R"({"op":"prune","layer":3,"expert":1})", HasSubstr("layer 3"));
  expect_policy_refused(R"({"op":"prune","layer":0,"expert":16})", HasSubstr("16"));
  expect_policy_refused(R"({"op":"reroute","layer":0,"from":1,"to":99})", HasSubstr("99"));
  expect_policy_refused(R"({"op":"top_k","layer":0,"k":17})", HasSubstr("17"));
  expect_policy_refused(R"({"op":"levitate","layer":0})", HasSubstr("levitate"));
  std::string nine;  // of 16 experts, top-8: seven are left
  for (int expert = 0; expert < 9; ++expert) {
    nine += (expert > 0 ? "," : "") + (R"({"op":"prune","layer":1,"expert":)" + std::to_string(expert) + "}");
  }
  expect_policy_refused(nine, HasSubstr("layer 1"));
}

TEST_F(CliErrors, PolicyThatIsNotJson) {
  write_file(scratch_ / "p.json", "prune everything");
  expect_failure({"generate", data_path(kModel), "--prompt", "a", "--policy", scratch_ / "p.json"},
                 HasSubstr("p.json"));
}

TEST_F(CliErrors, OutputsThatCannotBeWritten) {
  const std::string nowhere = scratch_ / "no/such/folder/file";
  expect_failure({"logits", data_path(kModel), "--ids", "1", "--out", nowhere}, HasSubstr(nowhere));
  expect_failure({"generate", data_path(kModel), "--prompt", "a", "--trace", nowhere}, HasSubstr(nowhere));
  expect_failure({"logits", data_path(kModel), "--ids", "1", "--out", "/dev/full"}, HasSubstr("/dev/full"));
}

TEST_F(CliErrors, MessagesSpellOutControlCharacters) {
  expect_failure({"logits", data_path(kModel), "--ids", "1", "--out", scratch_ / "l.npy", "--policy",
                  policy(R"({"op":"\u001b[2J\nlevitate","layer":0})")},
                 AllOf(HasSubstr("\\u001b[2J\\nlevitate"), ::testing::Not(HasSubstr("\x1b"))));
  expect_failure({"info", scratch_ / "no\x1b]0;title\x07such"}, HasSubstr("no\\u001b]0;title\\u0007such"));
}

TEST_F(CliErrors, TracesThatAreNotOurs) {
  write_file(scratch_ / "text.db",
             "This is not a database, and long enough to have the header of one. ........");
  expect_failure({"info", scratch_ / "text.db"}, HasSubstr("text.db"));
  execute(scratch_ / "other.db", "CREATE TABLE run (id INTEGER)");
  expect_failure({"analyze", scratch_ / "other.db", "load"}, HasSubstr("other.db"));
  expect_failure({"generate", data_path(kModel), "--prompt", "a", "--trace", scratch_ / "other.db"},
                 HasSubstr("other.db"));
}

TEST_F(CliErrors, TracesOfANewerVersion) {
  const std::string trace = scratch_ / "t.db";
  ASSERT_EQ(run_cli({"generate", data_path(kModel), "--prompt", "a", "--max-tokens", "2", "--trace", trace})
                .exit_code,
            0);
  execute(trace, "PRAGMA user_version = 1000");
  expect_failure({"info", trace}, AllOf(HasSubstr("t.db"), HasSubstr("newer")));
  expect_failure({"report", trace, "--out", scratch_ / "r.html"}, HasSubstr("newer"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "r.html"));
}

}  // namespace
}  // namespace expertscope::testing
