// SPDX-License-Identifier: GPL-3.0-or-later
// The comparison of a prompt without and with the edits, driven by clicks.
#include "views/widgets/compare_view.h"

#include <gtest/gtest.h>

#include <QClipboard>
#include <QComboBox>
#include <QGuiApplication>
#include <QLabel>
#include <QPushButton>
#include <QSignalSpy>
#include <QTextEdit>

#include "tests/gui/workbench_fixture.h"

namespace expertscope::testing {
namespace {

class CompareViewTest : public WorkbenchTest {
 protected:
  CompareViewTest() {
    view_.resize(800, 420);
    view_.show();
    QObject::connect(&view_, &CompareView::run_wanted, &view_,
                     [this] { workbench_.compare(view_.request(prompt())); });
  }
  template <class T>
  T& part(const char* name) {
    T* found = view_.findChild<T*>(QString::fromLatin1(name));
    require(found != nullptr, std::string("there is no ") + name);
    return *found;
  }
  QString label(const char* name) { return part<QLabel>(name).text(); }
  QString column(const char* name) { return part<QTextEdit>(name).toPlainText(); }
  void click(const char* name) { QTest::mouseClick(&part<QPushButton>(name), Qt::LeftButton); }
  void prune(int layer, int expert) {
    ASSERT_TRUE(workbench_.edits().add({PruneEdit{expert, PruneMode::mask}, {layer}, true, {}}));
  }
  /// Leaves the model no choice: half of the experts of every layer.
  void prune_a_lot() {
    for (int layer = 0; layer < 3; ++layer) {
      for (int expert = 0; expert < 8; ++expert) {
        prune(layer, expert);
      }
    }
  }
  void compare() {
    click("compare_run");
    const bool done = wait_until([this] { return workbench_.engine().comparison() != nullptr; });
    require(done, "the comparison did not end: " + first_error());
  }
  void write(const QString& name, const QByteArray& text) {
    QFile out(file(name));
    ASSERT_TRUE(out.open(QIODevice::WriteOnly));
    out.write(text);
  }

  CompareView view_{workbench_};
};

TEST_F(CompareViewTest, ExplainsItselfBeforeThereIsAnything) {
  EXPECT_TRUE(part<QLabel>("compare_empty").isVisible());
  EXPECT_TRUE(label("compare_empty").contains("without and with the edits"));
  EXPECT_FALSE(part<QPushButton>("compare_run").isEnabled());
  EXPECT_FALSE(part<QPushButton>("compare_copy").isEnabled());
}

TEST_F(CompareViewTest, NeedsAnEditThatIsSwitchedOn) {
  open_model();
  EXPECT_FALSE(part<QPushButton>("compare_run").isEnabled());
  prune(1, 3);
  EXPECT_TRUE(part<QPushButton>("compare_run").isEnabled());
  ASSERT_TRUE(workbench_.edits().set_enabled(0, false));
  EXPECT_FALSE(part<QPushButton>("compare_run").isEnabled());
}

TEST_F(CompareViewTest, ShowsBothTextsAndMarksTheFirstDifference) {
  open_model();
  prune_a_lot();
  compare();
  const auto result = workbench_.engine().comparison();
  ASSERT_GE(result->first_difference, 0) << "pruning half of all experts must change a random model's text";
  EXPECT_TRUE(column("compare_before").startsWith("In the beginning"));
  EXPECT_TRUE(column("compare_after").startsWith("In the beginning"));
  EXPECT_NE(column("compare_before"), column("compare_after"));
  EXPECT_EQ(column("compare_before").count(QStringLiteral("▸")), 1);
  EXPECT_EQ(column("compare_after").count(QStringLiteral("▸")), 1);
  EXPECT_FALSE(label("compare_summary").isEmpty());
  EXPECT_TRUE(label("compare_numbers").contains("nats per token"));
  EXPECT_FALSE(label("compare_numbers").contains("Perplexity"));
  EXPECT_TRUE(label("compare_before_heading").contains("12 tokens"));
}

TEST_F(CompareViewTest, TheMarkedTokenStandsOutByMoreThanColour) {
  open_model();
  prune_a_lot();
  compare();
  QTextEdit& text = part<QTextEdit>("compare_after");
  QTextCursor cursor = text.document()->find(QStringLiteral("▸"));
  ASSERT_FALSE(cursor.isNull());
  EXPECT_EQ(cursor.charFormat().fontWeight(), QFont::Bold);
  EXPECT_NE(cursor.charFormat().background().style(), Qt::NoBrush);
}

TEST_F(CompareViewTest, AnEditThatDoesNothingIsReportedAsIdentical) {
  open_model();
  ASSERT_TRUE(workbench_.edits().add({BiasEdit{3, 0.0f}, {1}, true, {}}));
  compare();
  EXPECT_EQ(label("compare_summary"), "Identical: all 12 tokens are the same.");
  EXPECT_EQ(column("compare_before"), column("compare_after"));
  EXPECT_FALSE(column("compare_after").contains(QStringLiteral("▸")));
}

TEST_F(CompareViewTest, MeasuresThePerplexityOfTheChosenTextByTheChosenProtocol) {
  open_model();
  prune_a_lot();
  write("sample.txt", QByteArray("The quick brown fox jumps over the lazy dog. ").repeated(4));
  view_.set_text(file("sample.txt"));
  QComboBox& protocol = part<QComboBox>("compare_protocol");
  EXPECT_TRUE(protocol.isEnabled());
  protocol.setCurrentText("hf");
  compare();
  EXPECT_TRUE(label("compare_numbers").contains("Perplexity"));
  EXPECT_TRUE(label("compare_numbers").contains("sample.txt"));
  EXPECT_TRUE(label("compare_numbers").contains("protocol hf"));
  const auto result = workbench_.engine().comparison();
  EXPECT_GT(result->before.perplexity->result.scored_tokens, 20);
  EXPECT_NE(result->before.perplexity->result.perplexity, result->after.perplexity->result.perplexity);
}

TEST_F(CompareViewTest, ATextThatCannotBeReadIsAnErrorAndKeepsTheLastComparison) {
  open_model();
  prune_a_lot();
  compare();
  const QString before = column("compare_before");
  write("bad.txt", "\xff\xfe not UTF-8");
  view_.set_text(file("bad.txt"));
  click("compare_run");
  ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
  EXPECT_NE(first_error().find("bad.txt"), std::string::npos) << first_error();
  EXPECT_EQ(workbench_.engine().state(), EngineState::ready);
  EXPECT_EQ(column("compare_before"), before);
}

TEST_F(CompareViewTest, RemembersTextAndProtocol) {
  write("sample.txt", "words");
  view_.set_text(file("sample.txt"));
  part<QComboBox>("compare_protocol").setCurrentText("llamacpp");
  CompareView again(workbench_);
  EXPECT_EQ(again.text(), file("sample.txt"));
  EXPECT_EQ(again.request(prompt()).perplexity.protocol, PerplexityProtocol::llamacpp);
  again.set_text({});
  EXPECT_TRUE(again.request(prompt()).text.empty());
}

TEST_F(CompareViewTest, CancelStopsIt) {
  open_model();
  prune_a_lot();
  write("long.txt", QByteArray("The quick brown fox jumps over the lazy dog.\n").repeated(20000));
  view_.set_text(file("long.txt"));
  click("compare_run");
  ASSERT_EQ(workbench_.engine().state(), EngineState::comparing);
  EXPECT_TRUE(part<QLabel>("compare_progress").isVisible());
  EXPECT_TRUE(part<QPushButton>("compare_cancel").isEnabled());
  click("compare_cancel");
  ASSERT_TRUE(wait_until([this] { return workbench_.engine().state() == EngineState::ready; }));
  EXPECT_TRUE(errors_.empty()) << first_error();
  EXPECT_EQ(workbench_.engine().comparison(), nullptr);
  EXPECT_FALSE(part<QLabel>("compare_progress").isVisible());
}

TEST_F(CompareViewTest, SaysWhenTheEditsHaveChangedSince) {
  open_model();
  prune(1, 3);
  compare();
  EXPECT_FALSE(part<QLabel>("compare_stale").isVisible());
  prune(1, 4);
  EXPECT_TRUE(part<QLabel>("compare_stale").isVisible());
  workbench_.edits().undo_stack().undo();
  EXPECT_FALSE(part<QLabel>("compare_stale").isVisible());
}

TEST_F(CompareViewTest, CopiesTheWholeComparison) {
  open_model();
  prune_a_lot();
  compare();
  click("compare_copy");
  const QString text = QGuiApplication::clipboard()->text();
  EXPECT_TRUE(text.contains(label("compare_summary")));
  EXPECT_TRUE(text.contains("Without the edits:"));
}

TEST_F(CompareViewTest, TheEditsAreInForceAgainAfterAComparison) {
  open_model();
  prune(1, 3);
  compare();
  generate();
  ASSERT_TRUE(workbench_.view()->run);
  EXPECT_EQ(workbench_.view()->run->table.at(1, 3).count, 0);
  EXPECT_GT(workbench_.view()->run->table.at(1, 4).count, 0);
}

TEST_F(CompareViewTest, AnotherModelForgetsTheComparison) {
  open_model();
  prune(1, 3);
  compare();
  EXPECT_FALSE(part<QLabel>("compare_empty").isVisible());
  workbench_.close();
  EXPECT_TRUE(part<QLabel>("compare_empty").isVisible());
  EXPECT_FALSE(part<QPushButton>("compare_run").isEnabled());
}

}  // namespace
}  // namespace expertscope::testing
