// SPDX-License-Identifier: GPL-3.0-or-later
// Where results go: names that mean something else, files that must not be written, standard output.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CliOutputs : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::copy(data_path("models/top8"), scratch_ / "model");
    write_file(scratch_ / "p.json", R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":1}]})");
    write_file(scratch_ / "data.txt", "Hello");
    const auto recorded = shell(generate("--trace t.db"));
    ASSERT_EQ(recorded.exit_code, 0) << recorded.err;
  }
  static std::string generate(const std::string& more) {
    return R"("$CLI" generate model --prompt a --max-tokens 2 )" + more;
  }
  ProcessResult shell(const std::string& script) { return run_shell(scratch_.path(), script); }
  void expect_refused(const std::string& call, int code, const ::testing::Matcher<std::string>& message) {
    const auto before = names();
    const ProcessResult result = shell(call);
    EXPECT_EQ(result.exit_code, code) << call << result.err;
    EXPECT_EQ(result.out, "") << call;
    EXPECT_THAT(result.err, AllOf(StartsWith("error: "), message)) << call;
    EXPECT_EQ(names(), before) << call;
  }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.path()))
      found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }

  TemporaryFolder scratch_;
};

TEST_F(CliOutputs, NamesThatAreNoFilesAreRefused) {
  const std::string logits = R"("$CLI" logits model --ids 1 --out )";
  for (const std::string& name : {std::string("''"), std::string("-"), std::string(":memory:")}) {
    const std::vector<std::pair<std::string, std::string>> calls = {
        {"--trace", generate("--trace " + name)},
        {"--trace", R"("$CLI" profile model --data data.txt --trace )" + name},
        {"--policy", generate("--policy " + name)},
        {"--policy", logits + "l.npy --policy " + name},
        {"--policy", R"("$CLI" ppl model --data data.txt --policy )" + name},
        {"MODEL", R"("$CLI" tokenize )" + name + " --text a"},
        {"PATH", R"("$CLI" info )" + name},
        {"TRACE", R"("$CLI" analyze )" + name + " load"},
        {"TRACE", R"("$CLI" report )" + name + " --out r.html"},
        {"--baseline", R"("$CLI" report t.db --out r.html --baseline )" + name},
        {"--model", R"("$CLI" report t.db --out r.html --baseline t.db --model )" + name},
    };
    for (const auto& [option, call] : calls)
      expect_refused(call, 2, HasSubstr(option));
  }
  for (const char* name : {"/dev/stdout", "/dev/stderr"})
    expect_refused(generate(std::string("--trace ") + name), 1, HasSubstr("a trace is a file"));
  expect_refused(logits + "''", 2, HasSubstr("--out"));
  expect_refused(R"("$CLI" report t.db --out '')", 2, HasSubstr("--out"));
  expect_refused(R"("$CLI" report t.db --out=)", 2, HasSubstr("--out"));
}

TEST_F(CliOutputs, NamesAreNeverReadAsAddresses) {
  for (const std::string& name : {std::string("file:x.db?mode=memory"), std::string("./:memory:"),
                                  std::string("file::memory:"), std::string("file:y%20z.db")}) {
    ASSERT_EQ(shell(generate("--trace '" + name + "'")).exit_code, 0) << name;
    EXPECT_TRUE(std::filesystem::exists(scratch_ / name)) << name;
    for (const std::string& called : {name, "./" + name}) {
      const ProcessResult info = shell("\"$CLI\" info --json '" + called + "'");
      ASSERT_EQ(info.exit_code, 0) << info.err;
      EXPECT_EQ(json::parse(info.out)["runs"].size(), 1u);
    }
  }
}

TEST_F(CliOutputs, WhatIsNoFileIsRefusedAsATraceAtOnce) {
  ASSERT_EQ(mkfifo((scratch_ / "pipe").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((scratch_ / "t2.db-journal").c_str(), 0600), 0);
  std::filesystem::copy(scratch_ / "t.db", scratch_ / "t2.db");
  std::filesystem::create_symlink("pipe", scratch_ / "link");
  for (const char* name : {"pipe", "link", "/dev/zero", "/dev/full"}) {
    for (const char* call :
         {R"("$CLI" info )", R"("$CLI" report --out r.html )", R"("$CLI" analyze --run 1 )"})
      expect_refused(
          std::string(call) + name + (std::string(call).find("analyze") == std::string::npos ? "" : " load"),
          1, AllOf(HasSubstr(name), HasSubstr("is a pipe or a device, not a trace")));
    expect_refused(generate(std::string("--trace ") + name), 1, HasSubstr("not a trace"));
    expect_refused(std::string(R"("$CLI" report t.db --out r.html --baseline )") + name, 1,
                   HasSubstr("not a trace"));
  }
  expect_refused(R"("$CLI" info t2.db)", 1, HasSubstr("t2.db-journal: is a pipe or a device"));
  expect_refused(generate("--trace model"), 1, HasSubstr("model: is a folder, not a trace"));
  expect_refused(R"("$CLI" analyze model load)", 1, HasSubstr("model: is a folder, not a trace"));
}

TEST_F(CliOutputs, InputsAreRefused) {
  const std::string recorded = read_file(scratch_ / "t.db");
  std::filesystem::create_symlink("t.db", scratch_ / "r.html");
  std::filesystem::create_directory(scratch_ / "elsewhere");
  for (const char* out : {"t.db", "r.html", "elsewhere/../t.db"})
    expect_refused(std::string(R"("$CLI" report t.db --out )") + out, 1,
                   AllOf(HasSubstr("--out"), HasSubstr("the file that TRACE reads")));
  std::filesystem::copy(scratch_ / "t.db", scratch_ / "b.db");
  expect_refused(R"("$CLI" report t.db --out b.db --baseline b.db)", 1, HasSubstr("that --baseline reads"));
  expect_refused(generate("--trace p.json --policy p.json"), 1, HasSubstr("that --policy reads"));
  expect_refused(R"("$CLI" generate model --prompt-file data.txt --trace data.txt)", 1,
                 HasSubstr("that --prompt-file reads"));
  expect_refused(R"("$CLI" profile model --data data.txt --trace data.txt)", 1,
                 HasSubstr("that --data reads"));
  expect_refused(R"("$CLI" logits model --ids 1 --out p.json --policy p.json)", 1,
                 HasSubstr("that --policy reads"));
  EXPECT_EQ(read_file(scratch_ / "t.db"), recorded);
  EXPECT_EQ(read_file(scratch_ / "b.db"), recorded);
  EXPECT_EQ(read_file(scratch_ / "data.txt"), "Hello");
  EXPECT_THAT(read_file(scratch_ / "p.json"), StartsWith("{\"version\""));
}

TEST_F(CliOutputs, FilesOfTheModelAreRefused) {
  write_file(scratch_ / "model/empty.json", "");
  const auto before = read_file(scratch_ / "model/config.json");
  for (const char* name : {"config.json", "model.safetensors", "empty.json"}) {
    const std::string file = std::string("model/") + name;
    expect_refused(R"("$CLI" logits model --ids 1 --out )" + file, 1,
                   HasSubstr("this is a file of the model"));
    expect_refused(generate("--trace " + file), 1, HasSubstr("this is a file of the model"));
    expect_refused(R"("$CLI" profile model --data data.txt --trace )" + file, 1,
                   HasSubstr("this is a file of the model"));
    expect_refused(R"("$CLI" report t.db --baseline t.db --model model --out )" + file, 1,
                   HasSubstr("this is a file of the model"));
  }
  EXPECT_EQ(read_file(scratch_ / "model/config.json"), before);
}

TEST_F(CliOutputs, FilesOfTheModelThatACacheEntryStandsForAreRefused) {
  std::filesystem::create_directories(scratch_ / "models--org--repo/snapshots");
  std::filesystem::rename(scratch_ / "model", scratch_ / "models--org--repo/snapshots/c");
  expect_refused(R"("$CLI" logits models--org--repo --ids 1 --out models--org--repo/snapshots/c/config.json)",
                 1, HasSubstr("this is a file of the model"));
}

TEST_F(CliOutputs, ATraceInTheModelsFolderIsNoFileOfTheModel) {
  EXPECT_EQ(shell(generate("--trace model/t.db")).exit_code, 0) << "a new file is nobody's";
  EXPECT_EQ(shell(generate("--trace model/t.db")).exit_code, 0) << "a trace gets one more run";
}

TEST_F(CliOutputs, WhatSqliteKeepsBesideATraceIsRefused) {
  for (const char* name : {"t.db-wal", "t.db-shm", "t.db-journal"}) {
    expect_refused(std::string(R"("$CLI" report t.db --out )") + name, 1,
                   HasSubstr("belongs to the trace t.db"));
    expect_refused(generate(std::string("--trace ") + name), 1, HasSubstr("belongs to the trace t.db"));
  }
}

TEST_F(CliOutputs, NothingThatLiesBesideAnOutputIsWritten) {
  for (const char* name : {"l.npy.part", "r.html.part"})
    std::filesystem::create_symlink("data.txt", scratch_ / name);
  EXPECT_EQ(shell(R"("$CLI" logits model --ids 1 --out l.npy && "$CLI" report t.db --out r.html)").exit_code,
            0);
  EXPECT_EQ(read_file(scratch_ / "data.txt"), "Hello");
  EXPECT_TRUE(std::filesystem::is_symlink(scratch_ / "l.npy.part"));
  EXPECT_THAT(names(), ElementsAre("data.txt", "l.npy", "l.npy.part", "model", "p.json", "r.html",
                                   "r.html.part", "t.db"));
}

TEST_F(CliOutputs, ADashIsStandardOutput) {
  ASSERT_EQ(
      shell(R"("$CLI" report t.db --out r.html && "$CLI" logits model --ids 1,2 --out l.npy)").exit_code, 0);
  for (const char* name : {"-", "/dev/stdout"}) {
    const ProcessResult report = shell(std::string(R"(echo first; "$CLI" report t.db --out )") + name);
    EXPECT_EQ(report.exit_code, 0) << report.err;
    EXPECT_EQ(report.out, "first\n" + read_file(scratch_ / "r.html"));
    const ProcessResult logits = shell(std::string(R"("$CLI" logits model --ids 1,2 --out )") + name);
    EXPECT_EQ(logits.exit_code, 0) << logits.err;
    EXPECT_EQ(logits.out, read_file(scratch_ / "l.npy"));
  }
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "-"));
  expect_refused(R"("$CLI" report t.db --out - --json)", 1,
                 HasSubstr("--json both write to standard output"));
  expect_refused(R"("$CLI" logits model --ids 1 --out - --json)", 1, HasSubstr("--json both write"));
  EXPECT_EQ(shell(R"("$CLI" report t.db --out ./-)").exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "-"));
}

TEST_F(CliOutputs, AReportGoesThroughAPipe) {
  const ProcessResult result = shell(R"("$CLI" report t.db --out /dev/fd/3 3>&1 | cat)");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("<!DOCTYPE html>"));
}

}  // namespace
}  // namespace expertscope::testing
