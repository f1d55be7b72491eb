// SPDX-License-Identifier: GPL-3.0-or-later
// profile, analyze, report and info of a trace: a recording from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <numeric>
#include <sstream>

#include "tests/app/cli_process.h"

namespace expertscope::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const std::string kModel = "models/planted_super_experts";
const std::string kPlanted = "golden/planted_super_experts/planted.json";
const std::string kPrune = R"({"version":1,"edits":[{"op":"prune","layer":1,"expert":5,"mode":"zero"}]})";

/// Mean KL(p || q) over the rows of two files of logits, nats.
double mean_kl(const Npy& p, const Npy& q) {
  double sum = 0;
  const auto columns = static_cast<std::size_t>(p.columns);
  const auto log_norm = [&](const float* row) {
    return std::log(std::accumulate(row, row + columns, 0.0, [](double total, float logit) {
      return total + std::exp(static_cast<double>(logit));
    }));
  };
  for (std::size_t row = 0; row < p.values.size(); row += columns) {
    const double p_norm = log_norm(&p.values[row]);
    const double q_norm = log_norm(&q.values[row]);
    for (std::size_t i = row; i < row + columns; ++i) {
      const double log_p = static_cast<double>(p.values[i]) - p_norm;
      sum += std::exp(log_p) * (log_p - (static_cast<double>(q.values[i]) - q_norm));
    }
  }
  return sum / static_cast<double>(p.rows);
}

/// The two texts of the planted model, profiled once for all tests.
class CliTrace : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new TemporaryFolder;
    std::string lines;
    const json golden = data_json(kPlanted);
    for (const json& text : golden["texts"])
      lines += json({{"text", text}, {"domain", lines.empty() ? "first" : "second"}}).dump() + "\n";
    write_file(*scratch_ / "data.jsonl", lines);
    summary_ = new json(profile("t.db", {}));
  }
  static void TearDownTestSuite() {
    delete summary_;
    delete scratch_;
  }

  static json profile(const std::string& trace, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"profile", data_path(kModel), "--data", *scratch_ / "data.jsonl",
                                          "--trace", *scratch_ / trace, "--math", "f32",
                                          "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cli_json(arguments);
  }
  static std::string trace() { return *scratch_ / "t.db"; }

  static TemporaryFolder* scratch_;
  static json* summary_;
};
TemporaryFolder* CliTrace::scratch_ = nullptr;
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
            run_cli_json({"info", data_path(kModel), "--json"})["config_sha256"]);
  const ProcessResult text = run_cli({"info", trace()});
  EXPECT_THAT(text.out, HasSubstr("run 1: profile, finished"));
}

TEST_F(CliTrace, InfoTellsWhatTheExpertCacheDidWhereThereWasOne) {
  EXPECT_TRUE(run_cli_json({"info", trace(), "--json"})["runs"][0]["expert_cache"].is_null());
  const std::string cached = *scratch_ / "cached.db";
  profile("cached.db", {"--sequences", "1"});
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(cached.c_str(), &handle), SQLITE_OK);
  const char* sql = "UPDATE layer_stats SET cache_hits = 30, cache_misses = 10, cache_bytes = 320 * 1024";
  EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(handle);
  sqlite3_close(handle);
  const json cache = run_cli_json({"info", cached, "--json"})["runs"][0]["expert_cache"];
  EXPECT_EQ(cache, (json{{"hits", 180}, {"misses", 60}, {"bytes", 6 * 320 * 1024}})) << "6 layers";
  EXPECT_THAT(run_cli({"info", cached}).out,
              HasSubstr("75.0 % of the selected experts were on the device, 6.0 KiB read per token"));
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

TEST_F(CliTrace, SharedSuperExpertsAgreeWithTheReferenceEverywhere) {
  const json golden = data_json("golden/planted_shared_experts/planted.json");
  std::string lines;
  for (const json& text : golden["texts"])
    lines += json({{"text", text}}).dump() + "\n";
  write_file(*scratch_ / "shared.jsonl", lines);
  const std::string trace = *scratch_ / "shared.db";
  run_cli_json({"profile", data_path("models/planted_shared_experts"), "--data", *scratch_ / "shared.jsonl",
                "--trace", trace, "--math", "f32", "--json"});
  for (const char* definition : {"paper", "upstream"}) {
    const json found = run_cli_json(
        {"analyze", trace, "super-experts", "--json", "--definition", definition})["super_experts"];
    const json& expected = golden["definitions"][definition]["super_experts"];
    ASSERT_EQ(found.size(), expected.size()) << definition;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(found[i]["layer"], expected[i]["layer"]);
      EXPECT_EQ(found[i]["expert"], expected[i]["expert"]);
      EXPECT_EQ(found[i]["channel"], expected[i]["channel"]);
    }
  }
  EXPECT_EQ(run_cli_json({"info", trace, "--json"})["runs"][0]["model"]["layers_with_shared_expert"], 4);
  EXPECT_THAT(run_cli({"info", trace}).out, HasSubstr("70 experts and a shared one, top-8"));
  EXPECT_THAT(run_cli({"analyze", trace, "super-experts"}).out, HasSubstr("   1      1  shared  "));
  EXPECT_THAT(run_cli({"analyze", trace, "super-experts", "--format", "csv"}).out, HasSubstr("\n2,1,-1,"));
  const std::string report = *scratch_ / "shared.html";
  ASSERT_EQ(run_cli({"report", trace, "--out", report}).exit_code, 0);
  const std::string html = read_file(report);
  EXPECT_THAT(html, HasSubstr("L1 shared"));
  EXPECT_THAT(html, HasSubstr("layer 1, shared expert: "));
  EXPECT_THAT(html, HasSubstr("(2, 30), (0, shared)")) << "by upstream's rule";
}

TEST_F(CliTrace, EntropyAgreesWithTheReference) {
  const json entropy = run_cli_json({"analyze", trace(), "entropy", "--json"});
  const json golden = data_json(kPlanted)["mean_router_entropy"];
  ASSERT_EQ(entropy["layers"].size(), golden.size());
  for (std::size_t layer = 0; layer < golden.size(); ++layer) {
    EXPECT_NEAR(entropy["layers"][layer]["mean_nats"].get<double>(), golden[layer].get<double>(), 1e-3);
  }
}

TEST_F(CliTrace, EveryAnalysisHasCsvJsonAndATable) {
  profile("baseline.db", {});
  const std::string baseline = *scratch_ / "baseline.db";
  const json all = run_cli_json({"analyze", "--json"});
  ASSERT_GE(all.size(), 13u);
  for (const json& entry : all) {
    const std::string analysis = entry["analysis"];
    SCOPED_TRACE(analysis);
    std::vector<std::string> call = {"analyze", trace(), analysis};
    if (analysis == "overlap") call.insert(call.end(), {"--baseline", baseline});
    const ProcessResult table = run_cli(call);
    EXPECT_EQ(table.exit_code, 0) << table.err;
    call.insert(call.end(), {"--format", "csv"});
    const ProcessResult csv = run_cli(call);
    EXPECT_EQ(csv.exit_code, 0) << csv.err;
    std::istringstream lines(csv.out);
    std::string header, row;
    ASSERT_TRUE(std::getline(lines, header) && std::getline(lines, row));
    EXPECT_EQ(header.find(' '), std::string::npos) << header;
    call.back() = "json";
    const json result = run_cli_json(call);
    EXPECT_EQ(result["analysis"], analysis);
  }
}

TEST_F(CliTrace, AnalyzeListsTheAnalysesAndExplainsThem) {
  const ProcessResult list = run_cli({"analyze"});
  EXPECT_EQ(list.exit_code, 0);
  EXPECT_THAT(list.out, HasSubstr("load            Load: slots and weights of the experts\n"));
  const ProcessResult explained = run_cli({"analyze", "coactivation", "--explain"});
  EXPECT_EQ(explained.exit_code, 0) << explained.err;
  for (const char* part : {"P(j|i) = N(i,j) / N(i)", "source", "arXiv 2409.02060", "--min-count (1 to",
                           "table pairs", "conditional [share]: N(i,j) / N(i)."}) {
    EXPECT_THAT(explained.out, HasSubstr(part));
  }
  const ProcessResult unknown = run_cli({"analyze", "coactivaton", "--explain"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("there is no analysis 'coactivaton'; did you mean coactivation?"));
  EXPECT_THAT(run_cli({"analyze", trace()}).err, HasSubstr("lists the analyses"));
}

TEST_F(CliTrace, AnalyzeTakesTheOptionsOfItsAnalysisAndNoOthers) {
  const json one =
      run_cli_json({"analyze", trace(), "strings", "--json", "--layer", "1", "--expert", "5", "--most", "3"});
  EXPECT_EQ(one["layer"], 1);
  EXPECT_EQ(one["strings"].size(), 3u);
  EXPECT_GE(one["examples"].size(), 3u);
  const json part = run_cli_json({"analyze", trace(), "load", "--json", "--from", "10", "--to", "30"});
  EXPECT_EQ(part["tokens"], 20);
  const ProcessResult layers = run_cli({"analyze", trace(), "load", "--format", "csv", "--table", "layers"});
  EXPECT_THAT(layers.out, ::testing::StartsWith("layer,slots,dead_experts,max_over_mean,jain,"));
  EXPECT_THAT(run_cli({"analyze", trace(), "load", "--format", "csv", "--table", "pairs"}).err,
              HasSubstr("load gives no table pairs here; it gives layers, experts"));
  EXPECT_THAT(run_cli({"analyze", trace(), "load", "--most", "3"}).err,
              HasSubstr("load has no option --most; analyze load --explain lists them"));
  const ProcessResult wrong = run_cli({"analyze", trace(), "strings", "--most", "0"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--most"));
}

TEST_F(CliTrace, AnalyzeNamesWhatARunLacks) {
  const ProcessResult result = run_cli({"analyze", trace(), "overlap"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("run 1 is without a baseline run, which overlap needs"));
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
  write_file(*scratch_ / "p.json", kPrune);
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
  EXPECT_EQ(written["baseline"]["run"], 1);
  EXPECT_TRUE(written["kl_mean"].is_null());
  const std::string html = read_file(out);
  EXPECT_THAT(html, HasSubstr("Compared with run 1 of t.db"));
  EXPECT_THAT(html, HasSubstr("KL(before ‖ after): not recorded"));
}

TEST_F(CliTrace, ReportMeasuresKlWithTheModel) {
  write_file(*scratch_ / "p.json", kPrune);
  profile("one.db", {"--sequences", "1"});
  profile("one_pruned.db", {"--sequences", "1", "--policy", *scratch_ / "p.json"});
  const std::string out = *scratch_ / "kl.html";
  const std::vector<std::string> report = {
      "report",  *scratch_ / "one_pruned.db", "--out", out, "--baseline", *scratch_ / "one.db",
      "--model", data_path(kModel),           "--json"};
  const json measured = run_cli_json(report);
  EXPECT_EQ(measured["kl_tokens"], 320);

  const std::string ids = join_ids(data_json(kPlanted)["sequences"][0]);
  const auto logits = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> call = {"logits", data_path(kModel), "--ids",         ids, "--math",
                                     "f32",    "--out",           *scratch_ / name};
    call.insert(call.end(), more.begin(), more.end());
    EXPECT_EQ(run_cli(call).exit_code, 0);
    return read_npy(*scratch_ / name);
  };
  const double expected =
      mean_kl(logits("before.npy", {}), logits("after.npy", {"--policy", *scratch_ / "p.json"}));
  EXPECT_GT(expected, 1e-6);
  EXPECT_NEAR(measured["kl_mean"].get<double>(), expected, 1e-3 * expected);
  const std::string html = read_file(out);
  EXPECT_THAT(html, HasSubstr("KL(before ‖ after): mean over the 320 tokens of the run before"));
  EXPECT_THAT(html, ::testing::Not(HasSubstr("not recorded")));

  std::vector<std::string> part = report;
  part.insert(part.end(), {"--kl-tokens", "50"});
  EXPECT_EQ(run_cli_json(part)["kl_tokens"], 50);
  EXPECT_THAT(read_file(out), HasSubstr("mean over the first 50 of 320 tokens"));
}

TEST_F(CliTrace, ReportRefusesToMeasureKlWithAnotherModel) {
  const ProcessResult result = run_cli({"report", trace(), "--out", *scratch_ / "no.html", "--baseline",
                                        *scratch_ / "other.db", "--model", data_path("models/top8")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("other.db"));

  std::filesystem::copy(trace(), *scratch_ / "copy.db");
  const ProcessResult foreign = run_cli({"report", trace(), "--out", *scratch_ / "no.html", "--baseline",
                                         *scratch_ / "copy.db", "--model", data_path("models/top8")});
  EXPECT_EQ(foreign.exit_code, 1);
  EXPECT_THAT(foreign.err, HasSubstr("not the model of run 1"));
  EXPECT_FALSE(std::filesystem::exists(*scratch_ / "no.html"));
}

TEST_F(CliTrace, ReportComparesTwoRunsOfOneTrace) {
  write_file(*scratch_ / "p.json", kPrune);
  const std::string file = *scratch_ / "three.db";
  profile("three.db", {"--sequences", "1", "--seq-len", "40"});
  profile("three.db", {"--sequences", "1", "--seq-len", "40", "--policy", *scratch_ / "p.json"});
  profile("three.db", {"--sequences", "1", "--seq-len", "40"});
  const auto call = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "report", file, "--baseline", file, "--out", *scratch_ / "three.html", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  EXPECT_EQ(run_cli_json(call({}))["baseline"]["run"], 2) << "the newest run before the newest";
  EXPECT_EQ(run_cli_json(call({"--run", "2"}))["baseline"]["run"], 1);
  EXPECT_EQ(run_cli_json(call({"--baseline-run", "1"}))["baseline"]["run"], 1);
  EXPECT_THAT(read_file(*scratch_ / "three.html"), HasSubstr("Compared with run 1 of three.db"));

  const ProcessResult itself = run_cli(call({"--run", "2", "--baseline-run", "2"}));
  EXPECT_EQ(itself.exit_code, 1);
  EXPECT_THAT(itself.err,
              HasSubstr("run 2 cannot be its own baseline; the trace has the runs 1, 2, 3; choose "
                        "one with --baseline-run"));
  const ProcessResult oldest = run_cli(call({"--run", "1"}));
  EXPECT_EQ(oldest.exit_code, 1);
  EXPECT_THAT(oldest.err, HasSubstr("no run came before run 1"));
  EXPECT_THAT(oldest.err, HasSubstr("--baseline-run"));
}

TEST_F(CliTrace, ProfileSaysWhenNothingWasScored) {
  const json alone = profile("alone.db", {"--seq-len", "1", "--sequences", "3"});
  EXPECT_EQ(alone["tokens"], 3);
  EXPECT_EQ(alone["scored_tokens"], 0);
  EXPECT_TRUE(alone["nll_mean"].is_null());
  EXPECT_TRUE(alone["perplexity"].is_null());
  EXPECT_EQ((*summary_)["scored_tokens"], 638) << "all but the first of each sequence";
  const ProcessResult text =
      run_cli({"profile", data_path(kModel), "--data", *scratch_ / "data.jsonl", "--trace",
               *scratch_ / "alone.db", "--seq-len", "1", "--sequences", "3"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("nothing scored"));
  EXPECT_THAT(text.out, ::testing::Not(HasSubstr("perplexity")));
}

TEST_F(CliTrace, InfoSpellsOutControlCharacters) {
  const std::string file = *scratch_ / "prompt.db";
  const std::string prompt = "one\n  status     fine\x1b[2J";
  EXPECT_EQ(run_cli({"generate", data_path(kModel), "--prompt", prompt, "--max-tokens", "1", "--trace", file})
                .exit_code,
            0);
  const ProcessResult text = run_cli({"info", file});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("one\\n  status     fine\\u001b[2J\n"));
  EXPECT_THAT(text.out, ::testing::Not(HasSubstr("\x1b")));
  EXPECT_EQ(run_cli_json({"info", file, "--json"})["runs"][0]["prompt"], prompt);
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

TEST_F(CliTrace, DeleteTakesOneRunOutAndTheNextOneGetsANewNumber) {
  const std::string file = *scratch_ / "deleted.db";
  profile("deleted.db", {"--sequences", "1"});
  profile("deleted.db", {"--sequences", "1", "--seq-len", "100"});
  EXPECT_EQ(run_cli_json({"delete", file, "--run", "2", "--json"}),
            (json{{"trace", file}, {"run", 2}, {"tokens", 100}}));
  const json runs = run_cli_json({"info", file, "--json"})["runs"];
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0]["id"], 1);
  EXPECT_EQ(profile("deleted.db", {"--sequences", "1"})["run"], 3);
  const ProcessResult told = run_cli({"delete", file, "--run", "1"});
  EXPECT_EQ(told.exit_code, 0);
  EXPECT_EQ(told.out, "");
  EXPECT_THAT(told.err, HasSubstr("run 1 of " + file + " deleted: profile, 320 tokens"));
}

TEST_F(CliTrace, DeleteNamesTheRunsThereAreAndNeverChoosesOneItself) {
  const ProcessResult missing = run_cli({"delete", trace(), "--run", "7"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("no run 7; the trace has 1"));
  const ProcessResult unnamed = run_cli({"delete", trace()});
  EXPECT_EQ(unnamed.exit_code, 2);
  EXPECT_THAT(unnamed.err, HasSubstr("--run"));
  EXPECT_EQ(run_cli_json({"info", trace(), "--json"})["runs"].size(), 1u);
}

}  // namespace
}  // namespace expertscope::testing
