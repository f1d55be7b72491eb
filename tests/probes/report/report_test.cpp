// SPDX-License-Identifier: GPL-3.0-or-later
// The report: well-formed, self-contained, safe against what it quotes, and right in every number.
#include "probes/report/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "probes/analysis/export.h"
#include "probes/analysis/run_data.h"
#include "tests/probes/report/report_page.h"

namespace expertscope::testing {
namespace {

const std::string kHostile = "</script><script>alert(1)</script><b onmouseover='x'>&amp; \"quoted\" \xff\x01";
const std::string kPrune =
    R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":3,"mode":"mask","note":"<i>loud</i>"},)"
    R"({"op":"reroute","layer":2,"from":1,"to":4},{"op":"top_k","layer":"*","k":1,"enabled":false}]})";

TEST(Report, IsAWellFormedPageThatLoadsNothing) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  const Page page = report_of(folder / "t.db");
  EXPECT_TRUE(page.html.starts_with("<!DOCTYPE html>"));
  EXPECT_EQ(malformed(page.html), "");
  for (const char* loader :
       {"src=", "<link", "<img", "<iframe", "@import", "url(", "<object", "<embed", "<base"}) {
    EXPECT_EQ(visible(page.html).find(loader), std::string::npos) << loader;
  }
  // Addresses only as links to the sources of a definition.
  for (std::size_t at = page.html.find("http"); at != std::string::npos;
       at = page.html.find("http", at + 1)) {
    EXPECT_EQ(page.html.substr(at - 9, 9), "<a href=\"") << page.html.substr(at, 40);
    EXPECT_EQ(page.html.substr(at, 22), "https://arxiv.org/abs/");
  }
}

TEST(Report, HasEverySection) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  const std::string html = report_of(folder / "t.db").html;
  for (const char* section :
       {"Load", "Super experts", "Layers", "Policy", "Model and run", "Definitions and sources"}) {
    EXPECT_NE(html.find(std::string("<h2>") + section + "</h2>"), std::string::npos) << section;
  }
  EXPECT_EQ(html.find("What the policy changed"), std::string::npos) << "there is no policy and no baseline";
  EXPECT_NE(html.find("No edits: the model’s own routing throughout"), std::string::npos);
  for (const char* identity :
       {"/models/synthetic", "c0ffee", "Qwen3MoeForCausalLM", "CPU f32 (test)", "data.txt", "da7a"}) {
    EXPECT_NE(html.find(identity), std::string::npos) << identity;
  }
}

TEST(Report, EmbedsTheNumbersOfTheAnalyses) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  const Page page = report_of(folder / "t.db");
  const auto trace = open_trace(folder / "t.db");
  const ExpertTable table = value_of(trace->expert_table(1));
  RunData data(*trace, value_of(trace->run(1)));
  const auto json_of = [&](const char* id) {
    const Analysis& analysis = *find_analysis(id);
    return nlohmann::json::parse(
        to_json(value_of(run_analysis(analysis, data, {}, Options(analysis.options)))));
  };
  EXPECT_EQ(page.data["load"], json_of("load"));
  EXPECT_EQ(page.data["experts"], json_of("experts"));
  EXPECT_EQ(page.data["entropy"], json_of("entropy"));
  EXPECT_EQ(page.data["attention"], json_of("attention"));
  EXPECT_EQ(page.data["attention"]["layers"].size(), 3u);
  const SuperExpertResult paper = analyze_super_experts(table);
  EXPECT_EQ(page.data["super_experts"]["paper"]["percentile_threshold"], paper.percentile_threshold);
  EXPECT_EQ(page.data["super_experts"]["paper"]["super_experts"].size(), paper.super_experts.size());
  EXPECT_EQ(page.data["run"]["tokens"], 300);
  double nll = 0;
  for (int token = 0; token < 300; ++token)
    nll -= static_cast<double>(log_prob_of(token));
  EXPECT_DOUBLE_EQ(page.data["recorded_likelihood"]["perplexity"], std::exp(nll / 300));
}

TEST(Report, QuotesHostileTextWithoutObeyingIt) {
  const TemporaryFolder folder;
  RunPlan plan;
  plan.kind = "generate";
  plan.policy = kPrune;
  plan.text = kHostile;
  plan.info.prompt = kHostile;
  plan.info.model.name = kHostile;
  plan.info.model.path = kHostile;
  plan.info.dataset = kHostile;
  record(folder / "t.db", plan);
  ReportOptions options;
  options.comparison =
      ReportComparison{kHostile, 1.0, 2.0, kHostile, 0.5, kHostile, kHostile, kHostile + "x"};
  options.comparison->policy_json =
      R"({"version":1,"edits":[{"op":"force","layer":0,"expert":1,"note":"<i>loud</i>"}]})";
  const Page page = report_of(folder / "t.db", {}, options);
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_EQ(page.html.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.html.find("<b onmouseover"), std::string::npos);
  EXPECT_EQ(page.html.find("<i>loud"), std::string::npos);
  EXPECT_EQ(page.html.find('\xff'), std::string::npos) << "the page is valid UTF-8";
  EXPECT_EQ(page.html.find('\x01'), std::string::npos);
  std::size_t scripts = 0;
  for (auto at = page.html.find("<script"); at != std::string::npos; at = page.html.find("<script", at + 1))
    ++scripts;
  EXPECT_EQ(scripts, 1u);
  EXPECT_NE(page.data["run"]["prompt"].get<std::string>().find("</script><script>alert(1)"),
            std::string::npos);
}

TEST(Report, ShowsThePolicyOnAMapAndInWords) {
  const TemporaryFolder folder;
  RunPlan plan;
  plan.policy = kPrune;
  record(folder / "t.db", plan);
  const Page page = report_of(folder / "t.db");
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_NE(page.html.find("from token 150"), std::string::npos);
  EXPECT_NE(page.html.find("prune expert 3 in layer 0"), std::string::npos);
  EXPECT_NE(page.html.find("class=\"mark\""), std::string::npos);
  EXPECT_NE(page.html.find("<li class=\"off\">top-k 1"), std::string::npos) << "switched off";
  EXPECT_NE(page.html.find("give that trace as the baseline"), std::string::npos);
  ASSERT_EQ(page.data["policy_changes"].size(), 1u);
  EXPECT_EQ(page.data["policy_changes"][0]["token"], 150);
  EXPECT_EQ(page.data["policy_changes"][0]["policy"], nlohmann::json::parse(kPrune));
}

TEST(Report, MeasuresWhatThePolicyChanged) {
  const TemporaryFolder folder;
  record(folder / "before.db", {});
  RunPlan plan;
  plan.policy = kPrune;
  plan.shifted = true;
  record(folder / "after.db", plan);
  const Page page = report_of(folder / "after.db", folder / "before.db");
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_EQ(page.html.find("class=\"warning\""), std::string::npos)
      << "the runs are alike but for the policy";
  const auto& effect = page.data["effect"];
  EXPECT_EQ(effect["common_tokens"], 300);
  EXPECT_EQ(effect["scored_tokens"], 300);
  double nll = 0;
  for (int token = 0; token < 300; ++token)
    nll -= static_cast<double>(log_prob_of(token));
  EXPECT_NEAR(effect["perplexity_before"].get<double>(), std::exp(nll / 300), 1e-9);
  EXPECT_NEAR(effect["perplexity_after"].get<double>(), std::exp(2 * nll / 300), 1e-9);
  EXPECT_NEAR(effect["log_prob_difference"].get<double>(), nll / 300, 1e-9) << "ln p is twice as low";
  // One of two slots changed in the second half of the tokens.
  ASSERT_EQ(effect["selection_overlap"].size(), 2u);
  EXPECT_DOUBLE_EQ(effect["selection_overlap"][0]["overlap"], 0.75);
  EXPECT_DOUBLE_EQ(effect["selection_overlap"][1]["overlap"], 0.75);
  EXPECT_EQ(page.data["baseline"]["load"]["experts"][5]["count"], 0);
  EXPECT_EQ(page.data["load"]["experts"][5]["count"], 150);
  EXPECT_NE(page.html.find("Change of the load"), std::string::npos);
}

TEST(Report, DoesNotPassALogProbabilityDifferenceOffAsKl) {
  const TemporaryFolder folder;
  record(folder / "before.db", {});
  RunPlan plan;
  plan.policy = kPrune;
  plan.shifted = true;
  record(folder / "after.db", plan);
  const Page page = report_of(folder / "after.db", folder / "before.db");
  EXPECT_NE(page.html.find("Log-probability difference (not KL)"), std::string::npos);
  EXPECT_NE(page.html.find("KL(before ‖ after): not recorded"), std::string::npos);
  EXPECT_NE(page.html.find("<code>--model</code>"), std::string::npos) << "says how to get it";
  EXPECT_TRUE(page.data["divergence"].is_null());
}

TEST(Report, PrintsTheKlThatWasMeasuredAndOnWhat) {
  const TemporaryFolder folder;
  record(folder / "before.db", {});
  RunPlan plan;
  plan.policy = kPrune;
  record(folder / "after.db", plan);
  ReportOptions options;
  options.divergence = ReportDivergence{0.03125, 120, 300, "CPU <f32>"};
  const Page page = report_of(folder / "after.db", folder / "before.db", options);
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_NE(page.html.find("KL(before ‖ after): mean over the first 120 of 300 tokens of the run before, "
                           "measured with the model, CPU &lt;f32&gt; [nats]"),
            std::string::npos);
  EXPECT_NE(page.html.find("<td class=\"n\">0.0312</td>"), std::string::npos);
  EXPECT_EQ(page.html.find("not recorded"), std::string::npos);
  EXPECT_NE(page.html.find("The edits changed on the way"), std::string::npos) << "from token 150 on";
  EXPECT_EQ(page.data["divergence"]["kl_mean"], 0.03125);
  EXPECT_EQ(page.data["divergence"]["tokens"], 120);
  EXPECT_EQ(page.data["divergence"]["of_tokens"], 300);
}

TEST(Report, WarnsWhenTheBaselineDiffersInMoreThanThePolicy) {
  const TemporaryFolder folder;
  RunPlan other;
  other.info.model.config_sha256 = "another";
  other.info.dataset_sha256 = "elsewhere";
  other.info.math = "bf16";
  other.info.sampling = "hot";
  other.tokens = 250;
  record(folder / "before.db", other);
  record(folder / "after.db", {});
  const Page page = report_of(folder / "after.db", folder / "before.db");
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_EQ(page.data["effect"]["warnings"].size(), 5u);
  for (const char* what : {"The models differ", "The data differ", "The arithmetic differs",
                           "The sampling settings differ", "The runs differ in length"}) {
    EXPECT_NE(page.html.find(what), std::string::npos) << what;
  }
  EXPECT_EQ(page.data["effect"]["common_tokens"], 250);
}

TEST(Report, DoesNotCompareLoadsOfDifferentShapes) {
  const TemporaryFolder folder;
  record(folder / "after.db", {});
  Shape wide;
  wide.experts = 12;
  auto recorder = value_of(Recorder::start(folder / "before.db", run_info(wide)));
  ASSERT_OK(recorder->deliver(make_block(wide, CaptureRequest::standard(), {0, 20, 0, 0})));
  ASSERT_OK(recorder->finish("finished"));
  const Page page = report_of(folder / "after.db", folder / "before.db");
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_NE(page.html.find("their loads cannot be compared"), std::string::npos);
}

TEST(Report, SetsTwoTextsSideBySideAndMarksTheDivergence) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  ReportOptions options;
  // The texts part inside a two-byte character (é and è share a byte): the mark goes before it.
  options.comparison =
      ReportComparison{"prose", 8.5, 60.25, "hf", 1.5, "Once", "caf\xc3\xa9 au lait", "caf\xc3\xa8!"};
  const Page page = report_of(folder / "t.db", {}, options);
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_NE(page.html.find("<span class=\"same\">caf</span><mark>\xc3\xa9 au lait</mark>"),
            std::string::npos);
  EXPECT_NE(page.html.find("<span class=\"same\">caf</span><mark>\xc3\xa8!</mark>"), std::string::npos);
  EXPECT_EQ(page.data["comparison"]["perplexity_after"], 60.25);
  EXPECT_EQ(page.data["comparison"]["kl_mean"], 1.5);
  EXPECT_NE(page.html.find("60.25"), std::string::npos);

  options.comparison->text_after = options.comparison->text_before;
  EXPECT_NE(report_of(folder / "t.db", {}, options).html.find("The two texts are the same"),
            std::string::npos);
}

TEST(Report, SaysWhenTheComparisonWasMadeWithOtherEdits) {
  const TemporaryFolder folder;
  RunPlan plan;
  plan.policy = kPrune;
  record(folder / "t.db", plan);
  ReportOptions options;
  options.comparison = ReportComparison{"prose", 8.5, 60.25, "hf", 1.5, "Once", "a", "b"};
  const auto warning = [&](const std::string& policy) {
    options.comparison->policy_json = policy;
    const Page page = report_of(folder / "t.db", {}, options);
    EXPECT_EQ(malformed(page.html), "");
    const auto begin = page.html.find("<div class=\"warning\">");
    EXPECT_EQ(page.data["comparison"]["edits_of_this_run"], begin == std::string::npos);
    return begin == std::string::npos ? "" : page.html.substr(begin, page.html.find("</div>", begin) - begin);
  };
  // The same edits; what is switched off and notes do not count.
  EXPECT_EQ(warning(R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":3,"mode":"mask"},)"
                    R"({"op":"reroute","layer":2,"from":1,"to":4}]})"),
            "");
  const std::string other = warning(R"({"version":1,"edits":[{"op":"force","layer":2,"expert":4}]})");
  EXPECT_NE(other.find("with other edits than this run’s last policy"), std::string::npos);
  EXPECT_NE(other.find("<li>force expert 4 in layer 2</li>"), std::string::npos) << other;
  EXPECT_NE(warning("").find("compared</b>: the model’s own routing"), std::string::npos);
  EXPECT_NE(warning("prune <all>").find("cannot be read"), std::string::npos);
}

TEST(Report, SaysSoWhenARunIsNotWhole) {
  const TemporaryFolder folder;
  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  ASSERT_OK(recorder->finish("failed", "t.db: no space left"));
  const Page page = report_of(folder / "t.db");
  EXPECT_EQ(malformed(page.html), "") << "also without a token";
  EXPECT_NE(page.html.find("marked <b>failed</b>. t.db: no space left"), std::string::npos);
}

TEST(Report, WorksWithoutTheOptionalProbes) {
  const TemporaryFolder folder;
  RunPlan plan;
  plan.info.probes = CaptureRequest{};
  plan.info.probes.routing = true;
  record(folder / "t.db", plan);
  const Page page = report_of(folder / "t.db");
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_NE(page.html.find("Expert outputs were not measured"), std::string::npos);
  EXPECT_NE(page.html.find("Router entropy was not measured"), std::string::npos);
}

TEST(Report, ShowsTheAttentionOnTheFirstTokenWhereItWasMeasured) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  EXPECT_NE(report_of(folder / "t.db").html.find("Mean attention on the first token per layer"),
            std::string::npos);
  RunPlan plan;
  plan.info.probes.attention = false;
  record(folder / "off.db", plan);
  EXPECT_EQ(report_of(folder / "off.db").html.find("Mean attention on the first token per layer"),
            std::string::npos);
}

TEST(Report, ShowsTheExpertCacheWhereThereWasOne) {
  const TemporaryFolder folder;
  record(folder / "whole.db", {});
  const Page whole = report_of(folder / "whole.db");
  EXPECT_EQ(whole.html.find("cache hits"), std::string::npos);
  EXPECT_FALSE(whole.data.contains("expert_cache"));

  auto recorder = value_of(Recorder::start(folder / "t.db", run_info(Shape())));
  auto block = make_block(Shape(), CaptureRequest::standard(), {0, 10, 0, 0});
  block->cache_hits = {15, 20};
  block->cache_misses = {5, 0};
  block->cache_bytes = {40960, 0};
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
  const Page page = report_of(folder / "t.db");
  EXPECT_EQ(malformed(page.html), "");
  EXPECT_NE(page.html.find("of 40 selections found theirs there"), std::string::npos);
  EXPECT_NE(page.html.find("cache hits"), std::string::npos);
  EXPECT_EQ(page.data["expert_cache"]["hit_rate"], 0.875);
  EXPECT_EQ(page.data["expert_cache"]["bytes_per_token"], 4096);
  ASSERT_EQ(page.data["expert_cache"]["layers"].size(), 2u);
  EXPECT_EQ(page.data["expert_cache"]["layers"][0]["hit_rate"], 0.75);
}

TEST(Report, TakesTheNewestRunOrTheOneAskedFor) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  RunPlan second;
  second.tokens = 40;
  record(folder / "t.db", second);
  EXPECT_EQ(report_of(folder / "t.db").data["run"]["tokens"], 40);
  ReportOptions options;
  options.run = 1;
  EXPECT_EQ(report_of(folder / "t.db", {}, options).data["run"]["tokens"], 300);
  options.run = 77;
  const auto missing = make_report(*open_trace(folder / "t.db"), nullptr, options);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("no run 77"), std::string::npos);
}

TEST(Report, ComparesRunsOfOneTrace) {
  const TemporaryFolder folder;
  for (const int tokens : {300, 200, 40}) {
    RunPlan plan;
    plan.tokens = tokens;
    record(folder / "t.db", plan);
  }
  std::filesystem::create_symlink(folder / "t.db", folder / "same.db");
  const auto baseline_of = [&](std::int64_t run, std::int64_t wanted) {
    ReportOptions options;
    options.run = run;
    options.baseline_run = wanted;
    return report_of(folder / "t.db", folder / "same.db", options).data["baseline"]["run"]["id"];
  };
  EXPECT_EQ(baseline_of(0, 0), 2) << "the newest before the newest";
  EXPECT_EQ(baseline_of(2, 0), 1);
  EXPECT_EQ(baseline_of(3, 1), 1);
  EXPECT_EQ(baseline_of(1, 3), 3) << "also a later one, when it is asked for";

  const auto trace = open_trace(folder / "t.db");
  const auto refusal = [&](std::int64_t wanted, std::int64_t run) {
    const auto chosen = choose_baseline_run(*trace, wanted, *trace, run);
    return chosen ? "accepted" : chosen.error().message;
  };
  EXPECT_NE(refusal(2, 2).find("run 2 cannot be its own baseline; the trace has the runs 1, 2, 3"),
            std::string::npos);
  EXPECT_NE(refusal(0, 1).find("no run came before run 1"), std::string::npos);
  EXPECT_NE(refusal(9, 1).find("there is no run 9"), std::string::npos);

  record(folder / "other.db", {});
  EXPECT_EQ(value_of(choose_baseline_run(*open_trace(folder / "other.db"), 0, *trace, 1)), 1)
      << "runs of other files have numbers of their own";
}

}  // namespace
}  // namespace expertscope::testing
