// SPDX-License-Identifier: GPL-3.0-or-later
// What a report makes of text that hides something, and of more than a person can read.
#include <gtest/gtest.h>

#include "tests/probes/report/report_page.h"

namespace expertscope::testing {
namespace {

TEST(Report, SpellsOutWhatHidesOrReversesOtherText) {
  const std::string hidden = "safe\u202egpj.exe pay\u200bpal\u2066x\U000e0041";
  const TemporaryFolder folder;
  RunPlan plan;
  plan.kind = "generate";
  plan.text = hidden;
  plan.info.prompt = hidden;
  plan.info.model.name = hidden;
  plan.info.model.path = hidden;
  plan.info.dataset = hidden;
  plan.policy =
      R"({"version":1,"edits":[{"op":"prune","layer":0,"expert":3,"mode":"mask","note":")" + hidden + "\"}]}";
  record(folder / "t.db", plan);
  ReportOptions options;
  options.comparison = ReportComparison{hidden, 1.0, 2.0, hidden, 0.5, hidden, hidden, hidden + "x"};
  const Page page = report_of(folder / "t.db", {}, options);
  for (const char* character : {"\u202e", "\u200b", "\u2066", "\U000e0041"})
    EXPECT_EQ(page.html.find(character), std::string::npos) << "also in the embedded data";
  EXPECT_NE(visible(page.html).find("safe\\u202egpj.exe pay\\u200bpal\\u2066x\\udb40\\udc41"),
            std::string::npos);
  EXPECT_EQ(page.data["run"]["prompt"], hidden) << "the data stay what they are";
}

TEST(Report, TextsThatAreMeantToBeReadStayAsTheyAre) {
  const std::string text =
      "caf\u00e9 \u6f22\u5b57 \U0001f469\u200d\U0001f680 \u0645\u06cc\u200c\u062e\nnext\tline";
  const TemporaryFolder folder;
  RunPlan plan;
  plan.kind = "generate";
  plan.text = text;
  record(folder / "t.db", plan);
  EXPECT_NE(visible(report_of(folder / "t.db").html).find(text), std::string::npos);
}

void record_shape(const std::filesystem::path& file, int layers, int experts,
                  const std::string& policy = {}) {
  Shape shape;
  shape.moe_layer.assign(static_cast<std::size_t>(layers), 1);
  shape.experts = experts;
  auto recorder = value_of(Recorder::start(file, run_info(shape)));
  auto block = make_block(shape, CaptureRequest::standard(), {0, 2, 0, 0});
  if (!policy.empty()) block->table = table_of(policy);
  ASSERT_OK(recorder->deliver(std::move(block)));
  ASSERT_OK(recorder->finish("finished"));
}

TEST(Report, SumsUpTheLargestModelThatATraceMayClaim) {
  const TemporaryFolder folder;
  record_shape(folder / "t.db", 1024, 512,
               R"({"version":1,"edits":[{"op":"prune","layer":"*","expert":3,"mode":"mask"}]})");
  const Page page = report_of(folder / "t.db");
  const std::string seen = visible(page.html);
  EXPECT_LT(count_of(seen, "<path ") + count_of(seen, "<rect "), 32768u + 2000)
      << "a map, its legend and marks";
  EXPECT_LT(count_of(seen, "<circle "), 5000u);
  EXPECT_LT(page.html.size(), 16u << 20);
  EXPECT_NE(seen.find("A cell shows the largest of 7 layers and 4 experts."), std::string::npos);
  EXPECT_NE(seen.find("largest of layers 0 to 6, experts 0 to 3: layer "), std::string::npos);
  EXPECT_TRUE(page.data["experts"].is_null());
  EXPECT_TRUE(page.data["left_out"].get<std::string>().starts_with("the numbers of the 524288 experts"));
  ASSERT_EQ(page.data["load"]["layers"].size(), 1024u);
  EXPECT_FALSE(page.data["load"].contains("experts"));
  EXPECT_TRUE(page.data["load"]["layers"][0].contains("jain"));
}

TEST(Report, ABinnedMapShowsTheLargestValuesAndChanges) {
  const TemporaryFolder folder;
  record_shape(folder / "before.db", 170, 256);
  record_shape(folder / "t.db", 170, 256);
  const Page page = report_of(folder / "t.db", folder / "before.db");
  EXPECT_EQ(malformed(page.html), "");
  const std::string seen = visible(page.html);
  // Two tokens use 4 of 256 experts: every cell of the map that holds one of them shows it.
  const ExpertTable table = value_of(open_trace(folder / "t.db")->expert_table(1));
  std::set<std::pair<int, int>> used;
  for (int layer = 0; layer < 170; ++layer) {
    for (int expert = 0; expert < 256; ++expert) {
      if (table.at(layer, expert).count > 0) used.insert({layer / 2, expert});
    }
  }
  const std::string map = seen.substr(seen.find("aria-label=\"Load heatmap"));
  const std::size_t cells = 85 * 256;
  EXPECT_EQ(count_of(map.substr(0, map.find("</svg>")), "class=\"dead\""), cells - used.size());
  EXPECT_EQ(count_of(seen, "A cell shows the largest of 2 layers."), 2u) << "the load, and its change";
}

TEST(Report, ListsTheBeginningOfWhatIsTooLongToRead) {
  std::string policy;
  for (int i = 0; i < 3000; ++i) {
    policy += policy.empty() ? R"({"version":1,"edits":[)" : ",";
    policy += R"({"op":"prune","layer":0,"expert":3,"mode":"mask","note":"n)" + std::to_string(i) + "\"}";
  }
  const TemporaryFolder folder;
  RunPlan plan;
  plan.policy = policy + "]}";
  record(folder / "t.db", plan);
  const std::string seen = visible(report_of(folder / "t.db").html);
  EXPECT_NE(seen.find("(n199)"), std::string::npos);
  EXPECT_EQ(seen.find("(n200)"), std::string::npos);
  EXPECT_NE(seen.find("… and 2\u202f800 more"), std::string::npos);
}

TEST(Report, PicturesNameAFontOfTheirOwn) {
  const TemporaryFolder folder;
  record(folder / "t.db", {});
  const std::string seen = visible(report_of(folder / "t.db").html);
  EXPECT_GT(count_of(seen, "<svg "), 2u);
  EXPECT_EQ(count_of(seen, "<svg "), count_of(seen, "font-family=\"sans-serif\""));
}

}  // namespace
}  // namespace expertscope::testing
