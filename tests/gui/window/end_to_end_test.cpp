// SPDX-License-Identifier: GPL-3.0-or-later
// The whole job by mouse and keyboard: open, generate, watch, prune in the middle, undo, compare, export.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QImage>
#include <QLabel>
#include <QSpinBox>
#include <QTextEdit>
#include <fstream>

#include "probes/store/trace_reader.h"
#include "tests/gui/window/window_fixture.h"

namespace expertscope::testing {
namespace {

class EndToEnd : public WindowTest {
 protected:
  EndToEnd() { make_endless(endless_); }

  void open_endless_model() { open_model(QString::fromStdString(endless_.path().string())); }
  /// Types a prompt, starts a generation that does not end on its own for a while, and waits for tokens.
  void start_long_generation() {
    type_prompt("In the beginning");
    part<QSpinBox>("max_tokens").setValue(4000);
    part<QSpinBox>("pace").setValue(200);
    click(part<QPushButton>("generate"));
    wait_for_tokens(20);
  }
  void wait_for_tokens(std::int64_t count) {
    require(wait_until([&] { return tokens_seen() >= count; }), "no tokens: " + first_error());
  }
  /// Until `tokens` tokens are shown since the policy in force says `what`.
  void wait_for_change(const std::string& what, std::int64_t tokens) {
    const bool seen = wait_until([&] {
      const auto& changes = workbench_.view()->run->policy_changes;
      return !changes.empty() && changes.back().policy_json.find(what) != std::string::npos &&
             tokens_seen() >= changes.back().token + tokens;
    });
    require(seen, "the change to " + what + " does not show: " + first_error());
  }
  void stop() {
    click(part<QPushButton>("stop"));
    require(wait_until([this] { return finished_run(); }), "it does not stop: " + first_error());
  }
  /// Tokens from `begin` on that ran an expert, counted from the file.
  std::int64_t slots_after(Cell cell, std::int64_t begin) {
    std::int64_t count = 0;
    const auto reader = TraceReader::open(workbench_.trace().file());
    EXPECT_TRUE(reader);
    EXPECT_TRUE((*reader)->visit_expert(workbench_.view()->run->run.id, cell.layer, cell.expert,
                                        {begin, INT64_MAX}, [&count](std::int64_t, const SlotRow&) {
                                          ++count;
                                          return true;
                                        }));
    return count;
  }
  /// The expert of a layer that ran most often so far.
  Cell busiest(int layer) {
    const ExpertTable& table = workbench_.view()->run->table;
    Cell cell{layer, 0};
    for (int expert = 1; expert < table.experts; ++expert) {
      if (table.at(layer, expert).count > table.at(layer, cell.expert).count) cell.expert = expert;
    }
    return cell;
  }

  const ModelFolder endless_{"top8"};
};

TEST_F(EndToEnd, TheMapFillsWhileTokensAppear) {
  open_endless_model();
  EXPECT_FALSE(map().scene().data->has_values());
  start_long_generation();
  EXPECT_EQ(workbench_.engine().state(), EngineState::generating);
  EXPECT_TRUE(map().scene().data->has_values());
  EXPECT_GT(part<TokenChips>("token_chips").scene().page->tokens.size(), 10u);
  const std::int64_t before = workbench_.view()->run->table.tokens;
  wait_for_tokens(before + 20);
  EXPECT_GT(workbench_.view()->run->table.tokens, before);
  EXPECT_TRUE(part<QLabel>("rate").text().contains("tokens/s"));
  stop();
  EXPECT_EQ(workbench_.view()->run->run.status, "stopped");
  EXPECT_FALSE(part<QPlainTextEdit>("generated_text").toPlainText().isEmpty());
}

TEST_F(EndToEnd, AnExpertPrunedInTheMiddleIsNotSelectedFromThenOnUntilUndone) {
  open_endless_model();
  start_long_generation();
  const Cell cell = busiest(1);
  choose_for_cell(cell, {"Prune", "mask"});
  ASSERT_EQ(workbench_.engine().state(), EngineState::generating);
  EXPECT_EQ(workbench_.edits().rowCount(), 1);
  EXPECT_TRUE(map().scene().marks.at(cell).prune);
  EXPECT_EQ(workbench_.selection().cell(), cell);
  wait_for_change("prune", 30);
  QTest::keyClick(&window_, Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(workbench_.edits().rowCount(), 0);
  wait_for_change("[]", 30);
  ASSERT_EQ(workbench_.engine().state(), EngineState::generating);
  stop();

  const auto& changes = workbench_.view()->run->policy_changes;
  ASSERT_GE(changes.size(), 2u);
  const PolicyChange& pruned = changes[changes.size() - 2];
  const PolicyChange& undone = changes.back();
  EXPECT_GT(pruned.token, 0);
  EXPECT_NE(pruned.policy_json.find("prune"), std::string::npos) << pruned.policy_json;
  EXPECT_EQ(undone.policy_json.find("prune"), std::string::npos) << undone.policy_json;
  const std::int64_t in_force = undone.token - pruned.token;
  EXPECT_GE(in_force, 30);
  EXPECT_GT(slots_after(cell, 0), 0);
  EXPECT_EQ(slots_after(cell, pruned.token), slots_after(cell, undone.token))
      << "the expert ran while it was pruned";
  EXPECT_GT(slots_after(cell, undone.token), 0) << "undo gives the expert back";
  const auto& flags = part<TokenChips>("token_chips").scene().edits_at;
  EXPECT_NE(std::find(flags.begin(), flags.end(), pruned.token), flags.end());
}

TEST_F(EndToEnd, AReroutePickedOnTheMapTakesEffectInTheMiddle) {
  open_endless_model();
  start_long_generation();
  const Cell from = busiest(2);
  const Cell to{2, from.expert == 5 ? 6 : 5};
  choose_for_cell(from, {"Reroute to", "Pick on the map"});
  EXPECT_TRUE(map().is_picking());
  click_cell(to);
  EXPECT_FALSE(map().is_picking());
  EXPECT_EQ(map().scene().marks.at(from).reroute_to, to.expert);
  wait_for_change("reroute", 30);
  stop();
  const PolicyChange& change = workbench_.view()->run->policy_changes.back();
  EXPECT_GT(change.token, 0);
  EXPECT_EQ(slots_after(from, change.token), 0);
  EXPECT_GT(slots_after(to, change.token), 0);
}

TEST_F(EndToEnd, ComparesWithAndWithoutTheEdits) {
  open_model();
  type_prompt("In the beginning");
  part<QSpinBox>("max_tokens").setValue(24);
  for (int expert = 0; expert < 8; ++expert) {
    choose_for_cell({0, expert}, {"Prune", "mask"});
  }
  window_.show_view("map");
  QTest::keyClick(&window_, Qt::Key_K, Qt::ControlModifier);
  ASSERT_TRUE(wait_until([this] { return workbench_.engine().comparison() != nullptr; })) << first_error();
  EXPECT_TRUE(part<QTextEdit>("compare_before").isVisible()) << "the comparison comes to the front";
  EXPECT_TRUE(part<QTextEdit>("compare_before").toPlainText().startsWith("In the beginning"));
  EXPECT_EQ(workbench_.engine().comparison()->after.generated.ids.size(), 24u);
  EXPECT_GE(workbench_.engine().comparison()->first_difference, 0);
}

TEST_F(EndToEnd, ExportsReportTablePictureTraceAndPolicy) {
  open_model();
  type_prompt("In the beginning");
  part<QSpinBox>("max_tokens").setValue(24);
  choose_for_cell({1, 3}, {"Prune", "zero"});
  QTest::keyClick(&part<QPlainTextEdit>("prompt"), Qt::Key_Return);
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();

  save_by("export_report", file("report.html"));
  const QByteArray report = read(file("report.html"));
  EXPECT_TRUE(report.contains("<html"));
  EXPECT_TRUE(report.contains("top8"));

  save_by("export_csv", file("table.csv"));
  const QList<QByteArray> lines = read(file("table.csv")).trimmed().split('\n');
  EXPECT_TRUE(lines.first().startsWith("layer,expert,count"));
  EXPECT_EQ(lines.size(), 1 + 3 * 16);

  save_by("export_json", file("table.json"));
  EXPECT_FALSE(nlohmann::json::parse(read(file("table.json")).toStdString(), nullptr, false).is_discarded());

  save_by("export_picture", file("map.png"));
  const QImage picture(file("map.png"));
  EXPECT_EQ(picture.width(), 2 * map().width());
  save_by("export_picture", file("map.svg"));
  EXPECT_TRUE(read(file("map.svg")).contains("<svg"));

  save_by("save_trace", file("trace.db"));
  const auto reader = TraceReader::open(file("trace.db").toStdString());
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->runs()->size(), 1u);

  save_by("save_policy", file("policy.json"));
  action("clear_edits").trigger();
  EXPECT_EQ(workbench_.edits().rowCount(), 0);
  action("load_policy").trigger();
  answer_file_dialog(file("policy.json"));
  ASSERT_TRUE(wait_until([this] { return workbench_.edits().rowCount() == 1; })) << first_error();
  EXPECT_EQ(map().scene().marks.at({1, 3}).prune, PruneMode::zero);
}

TEST_F(EndToEnd, ATraceOpensWithoutItsModelAndShowsTheSameViews) {
  open_model();
  ASSERT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
  generate();
  const double load = map().scene().data->at({1, 4});
  save_by("save_trace", file("trace.db"));
  workbench_.close();
  EXPECT_EQ(workbench_.content(), Workbench::Content::nothing);

  workbench_.open(file("trace.db"));
  ASSERT_TRUE(wait_until([this] { return workbench_.view() && workbench_.view()->run; })) << first_error();
  EXPECT_EQ(workbench_.content(), Workbench::Content::trace);
  EXPECT_EQ(workbench_.engine().state(), EngineState::no_model);
  EXPECT_DOUBLE_EQ(map().scene().data->at({1, 4}), load);
  EXPECT_TRUE(map().scene().marks.at({1, 3}).prune) << "the recorded edits are drawn";
  EXPECT_FALSE(part<QPlainTextEdit>("prompt").isVisible());
  EXPECT_FALSE(part<QPlainTextEdit>("generated_text").toPlainText().isEmpty());
  click_cell({1, 4});
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->expert != nullptr; }));
  EXPECT_FALSE(action("prune_mask").isEnabled());
  EXPECT_FALSE(part<QPushButton>("compare_run").isEnabled());
  save_by("export_report", file("again.html"));
}

}  // namespace
}  // namespace expertscope::testing
