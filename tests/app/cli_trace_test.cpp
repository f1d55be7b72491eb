// SPDX-License-Identifier: GPL-3.0-or-later
// profile, analyze, report and info of a trace: a recording from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kPlanted = "golden/planted_super_experts/planted.json";

/// The two texts of the planted model, profiled once for all tests.
class CliTrace : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new ScratchFolder;
    std::string lines;
    const json golden = data_json(kPlanted);
    for (const json& text : golden["texts"])
      lines += json({{"text", text}}).dump() + "\n";
    write_file(*scratch_ / "data.jsonl", lines);
    summary_ = new json(profile("t.db", {}));
  }
  static void TearDownTestSuite() {
    delete summary_;
    delete scratch_;
  }

  static json profile(const std::string& trace, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"profile", data_path("models/planted_super_experts"),
                                          "--data",  *scratch_ / "data.jsonl",
                                          "--trace", *scratch_ / trace,
                                          "--math",  "f32",
                                          "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cli_json(arguments);
  }
  static std::string trace() { return *scratch_ / "t.db"; }

  static ScratchFolder* scratch_;
  static json* summary_;
};
ScratchFolder* CliTrace::scratch_ = nullptr;
json* CliTrace::summary_ = nullptr;

TEST_F(CliTrace, ProfileSaysWhatItDid) {
  EXPECT_EQ((*summary_)["run"], 1);
  EXPECT_EQ((*summary_)["sequences"], 2);
  EXPECT_EQ((*summary_)["tokens"], 640);
  EXPECT_GT((*summary_)["perplexity"], 1);
}

TEST_F(CliTrace, InfoNamesTheIdentityOfTheRun) {
  const json info = run_cli_json({"info", trace(), "--json"});
  EXPECT_EQ(info["kind"], "trace");
  const json& run = info["runs"][0];
  EXPECT_EQ(run["kind"], "profile");
  EXPECT_EQ(run["status"], "finished");
  EXPECT_EQ(run["dataset"], "data.jsonl");
  EXPECT_EQ(run["dataset_sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(run["model"]["experts"], 104);
  EXPECT_EQ(run["model"]["config_sha256"],
            run_cli_json({"info", data_path("models/planted_super_experts"), "--json"})["config_sha256"]);
  const ProcessResult text = run_cli({"info", trace()});
  EXPECT_THAT(text.out, HasSubstr("run 1: profile, finished"));
}

TEST_F(CliTrace, LoadAgreesWithTheReference) {
  const json load = run_cli_json({"analyze", trace(), "load", "--format", "json"});
  const json golden = data_json(kPlanted);
  ASSERT_EQ(load["layers"].size(), 6u);
  for (std::size_t layer = 0; layer < 6; ++layer) {
    EXPECT_NEAR(load["layers"][layer]["jain"].get<double>(), golden["jain_fairness"][layer].get<double>(),
                1e-5);
  }
}

TEST_F(CliTrace, SuperExpertsAgreeWithTheReference) {
  const json golden = data_json(kPlanted)["definitions"];
  for (const char* definition : {"paper", "upstream"}) {
    const json found = run_cli_json({"analyze", trace(), "super-experts", "--format", "json", "--definition",
                                     definition})["super_experts"];
    const json& expected = golden[definition]["super_experts"];
    ASSERT_EQ(found.size(), expected.size()) << definition;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(found[i]["layer"], expected[i]["layer"]);
      EXPECT_EQ(found[i]["expert"], expected[i]["expert"]);
      EXPECT_EQ(found[i]["channel"], expected[i]["channel"]);
      EXPECT_NEAR(found[i]["output_max"].get<double>(), expected[i]["max"].get<double>(),
                  1e-3 * expected[i]["max"].get<double>());
    }
  }
}

TEST_F(CliTrace, EntropyAgreesWithTheReference) {
  const json entropy = run_cli_json({"analyze", trace(), "entropy", "--json"});
  const json golden = data_json(kPlanted)["mean_router_entropy"];
  ASSERT_EQ(entropy["layers"].size(), golden.size());
  for (std::size_t layer = 0; layer < golden.size(); ++layer) {
    EXPECT_NEAR(entropy["layers"][layer]["mean_nats"].get<double>(), golden[layer].get<double>(), 1e-3);
  }
}

TEST_F(CliTrace, EveryAnalysisHasCsvAndATable) {
  for (const char* analysis : {"load", "super-experts", "entropy"}) {
    const ProcessResult csv = run_cli({"analyze", trace(), analysis, "--format", "csv"});
    EXPECT_EQ(csv.exit_code, 0) << csv.err;
    std::istringstream lines(csv.out);
    std::string header, row;
    ASSERT_TRUE(std::getline(lines, header) && std::getline(lines, row)) << analysis;
    EXPECT_EQ(std::count(header.begin(), header.end(), ','), std::count(row.begin(), row.end(), ','));
    EXPECT_THAT(header, HasSubstr("layer"));
    const ProcessResult table = run_cli({"analyze", trace(), analysis});
    EXPECT_EQ(table.exit_code, 0) << table.err;
    EXPECT_THAT(table.out, HasSubstr("layer"));
  }
}

TEST_F(CliTrace, ReportIsOneFile) {
  const std::string out = *scratch_ / "report.html";
  const ProcessResult result = run_cli({"report", trace(), "--out", out});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  const std::string html = read_file(out);
  EXPECT_THAT(html, HasSubstr("<!DOCTYPE html>"));
  EXPECT_THAT(html, HasSubstr("planted_super_experts"));
  EXPECT_THAT(html, ::testing::Not(HasSubstr("src=\"http")));
}

TEST_F(CliTrace, ReportComparesWithABaseline) {
  write_file(*scratch_ / "p.json",
             R"({"version":1,"edits":[{"op":"prune","layer":1,"expert":5,"mode":"zero"}]})");
  const json pruned = profile("pruned.db", {"--policy", *scratch_ / "p.json"});
  EXPECT_NE(pruned["nll_mean"], (*summary_)["nll_mean"]);
  const json run = run_cli_json({"info", *scratch_ / "pruned.db", "--json"})["runs"][0];
  EXPECT_EQ(run["policy_changes"][0]["token"], 0);
  EXPECT_EQ(run["policy_changes"][0]["policy"]["edits"][0]["expert"], 5);

  const std::string out = *scratch_ / "compared.html";
  const json written =
      run_cli_json({"report", *scratch_ / "pruned.db", "--out", out, "--baseline", trace(), "--json"});
  EXPECT_EQ(written["out"], out);
  EXPECT_EQ(written["bytes"], std::filesystem::file_size(out));
  EXPECT_THAT(read_file(out), HasSubstr("aseline"));
}

TEST_F(CliTrace, RunsAreAddedAndChosen) {
  const std::string copy = *scratch_ / "two.db";
  profile("two.db", {"--sequences", "1"});
  EXPECT_EQ(profile("two.db", {"--sequences", "1", "--seq-len", "100"})["tokens"], 100);
  EXPECT_EQ(run_cli_json({"info", copy, "--json"})["runs"].size(), 2u);
  EXPECT_EQ(run_cli_json({"analyze", copy, "load", "--json"})["tokens"], 100) << "the newest by default";
  EXPECT_EQ(run_cli_json({"analyze", copy, "load", "--json", "--run", "1"})["tokens"], 320);
  const ProcessResult missing = run_cli({"analyze", copy, "load", "--run", "7"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("no run 7; the trace has 1, 2"));
}

}  // namespace
}  // namespace expertscope::testing
