// SPDX-License-Identifier: GPL-3.0-or-later
// The smaller panels: prompt, edits, runs, tokens.
#include <gtest/gtest.h>

#include <QAction>
#include <QCheckBox>
#include <QDoubleSpinBox>
#include <QListView>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QScrollBar>
#include <QSignalSpy>
#include <QSpinBox>

#include "tests/gui/workbench_fixture.h"
#include "tests/support/model_folder.h"
#include "views/widgets/edits_panel.h"
#include "views/widgets/prompt_bar.h"
#include "views/widgets/runs_panel.h"
#include "views/widgets/sparkline.h"
#include "views/widgets/token_strip.h"

namespace expertscope::testing {
namespace {

class PromptBarTest : public WorkbenchTest {
 protected:
  PromptBarTest() { bar_.show(); }
  template <class T>
  T& part(const char* name) {
    return *bar_.findChild<T*>(QString::fromLatin1(name));
  }
  PromptBar bar_{workbench_};
};

TEST_F(PromptBarTest, NeedsAModelAndAPrompt) {
  EXPECT_FALSE(bar_.generate_button().isEnabled());
  open_model();
  EXPECT_TRUE(bar_.generate_button().isEnabled());
  bar_.set_prompt({});
  EXPECT_FALSE(bar_.generate_button().isEnabled());
}

TEST_F(PromptBarTest, WhatIsTypedReplacesTheProposal) {
  open_model();
  auto& box = part<QPlainTextEdit>("prompt");
  EXPECT_EQ(box.textCursor().selectedText(), "In the beginning");
  QTest::keyClicks(&box, "Once upon");
  EXPECT_EQ(bar_.request().prompt, "Once upon");
}

TEST_F(PromptBarTest, WhatIsTypedAndSetBecomesTheRequest) {
  open_model();
  auto& box = part<QPlainTextEdit>("prompt");
  box.selectAll();
  QTest::keyClicks(&box, "Once upon");
  part<QDoubleSpinBox>("temperature").setValue(0.7);
  part<QSpinBox>("seed").setValue(42);
  part<QSpinBox>("max_tokens").setValue(33);
  part<QCheckBox>("chat_template").setChecked(true);
  const PromptRequest request = bar_.request();
  EXPECT_EQ(request.prompt, "Once upon");
  EXPECT_FLOAT_EQ(request.options.sampling.temperature, 0.7f);
  EXPECT_EQ(request.options.sampling.seed, 42u);
  EXPECT_EQ(request.options.max_tokens, 33);
  EXPECT_TRUE(request.chat_template);
}

TEST_F(PromptBarTest, EnterGeneratesAndShiftEnterBeginsALine) {
  open_model();
  part<QSpinBox>("max_tokens").setValue(3);
  auto& box = part<QPlainTextEdit>("prompt");
  bar_.set_prompt("a");
  box.moveCursor(QTextCursor::End);
  QTest::keyClick(&box, Qt::Key_Return, Qt::ShiftModifier);
  EXPECT_EQ(box.toPlainText(), "a\n");
  EXPECT_EQ(workbench_.engine().state(), EngineState::ready);
  QTest::keyClick(&box, Qt::Key_Return);
  EXPECT_EQ(workbench_.engine().state(), EngineState::generating);
  EXPECT_FALSE(bar_.generate_button().isEnabled());
  EXPECT_TRUE(bar_.stop_button().isEnabled());
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  EXPECT_TRUE(bar_.generate_button().isEnabled());
}

TEST_F(PromptBarTest, TheSameSeedGivesTheSameText) {
  open_model();
  PromptRequest request = prompt();
  request.options.sampling.temperature = 1.0f;
  request.options.sampling.seed = 7;
  generate(request);
  const std::string first = workbench_.view()->run->run.text;
  generate(request);
  EXPECT_EQ(workbench_.view()->run->run.text, first);
  EXPECT_EQ(workbench_.view()->runs->size(), 2u);
}

TEST_F(PromptBarTest, SettingsSurviveARestart) {
  open_model();
  part<QSpinBox>("max_tokens").setValue(3);
  bar_.set_prompt("remember me");
  bar_.generate();
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  const PromptBar again(workbench_);
  EXPECT_EQ(again.request().prompt, "remember me");
  EXPECT_EQ(again.request().options.max_tokens, 3);
}

TEST_F(PromptBarTest, DeletingAWordIsTheTextsOwnAndNoShortcut) {
  QAction masks("mask", &bar_);
  masks.setShortcut(QKeySequence("Ctrl+Backspace"));
  bar_.addAction(&masks);
  QSignalSpy masked(&masks, &QAction::triggered);
  open_model();
  auto& box = part<QPlainTextEdit>("prompt");
  bar_.set_prompt("Once upon");
  box.setFocus();
  box.moveCursor(QTextCursor::End);
  QTest::keyClick(&box, Qt::Key_Backspace, Qt::ControlModifier);
  EXPECT_EQ(masked.count(), 0);
  EXPECT_EQ(box.toPlainText(), "Once ");
}

TEST_F(PromptBarTest, SamplesAsTheModelsMakersProposeUntilThePersonChooses) {
  const ModelFolder folder("top8");
  const auto propose = [&](double temperature) {
    folder.write("generation_config.json", nlohmann::json{{"do_sample", true},
                                                          {"temperature", temperature},
                                                          {"top_k", 20},
                                                          {"top_p", 0.9},
                                                          {"repetition_penalty", 1.1}}
                                               .dump());
    open_model(QString::fromStdString(folder.path().string()));
    workbench_.close();
    open_model(QString::fromStdString(folder.path().string()));
  };
  propose(0.6);
  SamplingOptions sampling = bar_.request().options.sampling;
  EXPECT_FLOAT_EQ(sampling.temperature, 0.6f);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_FLOAT_EQ(sampling.top_p, 0.9f);
  EXPECT_FLOAT_EQ(sampling.repetition_penalty, 1.1f) << "has no field, and holds all the same";

  part<QSpinBox>("max_tokens").setValue(3);
  bar_.generate();
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  propose(0.8);
  EXPECT_FLOAT_EQ(bar_.request().options.sampling.temperature, 0.8f) << "a proposal left alone is no choice";

  part<QDoubleSpinBox>("temperature").setValue(0.3);
  bar_.generate();
  ASSERT_TRUE(wait_until([this] { return finished_run(); })) << first_error();
  propose(0.5);
  EXPECT_FLOAT_EQ(bar_.request().options.sampling.temperature, 0.3f);
}

class EditsPanelTest : public WorkbenchTest {
 protected:
  EditsPanelTest() {
    panel_.resize(260, 300);
    panel_.show();
    open_model();
    EXPECT_TRUE(workbench_.edits().add({PruneEdit{3, PruneMode::mask}, {1}, true, {}}));
    EXPECT_TRUE(workbench_.edits().add({RerouteEdit{2, 7}, {2}, true, {}}));
  }
  EditsPanel panel_{workbench_, {}};
};

TEST_F(EditsPanelTest, ListsTheEditsAndAClickShowsTheExpert) {
  QListView& list = panel_.list();
  EXPECT_EQ(list.model()->rowCount(), 2);
  QTest::mouseClick(list.viewport(), Qt::LeftButton, {}, list.visualRect(list.model()->index(1, 0)).center());
  EXPECT_EQ(workbench_.selection().cell(), (Cell{2, 2}));
}

TEST_F(EditsPanelTest, SpaceSwitchesAnEditOffAndOn) {
  QListView& list = panel_.list();
  list.setFocus();
  list.setCurrentIndex(list.model()->index(0, 0));
  QTest::keyClick(&list, Qt::Key_Space);
  EXPECT_FALSE(workbench_.edits().policy().edits[0].enabled);
  EXPECT_TRUE(workbench_.edits().policy().edits[1].enabled);
  QTest::keyClick(&list, Qt::Key_Space);
  EXPECT_TRUE(workbench_.edits().policy().edits[0].enabled) << "the row stays current";
}

TEST_F(EditsPanelTest, RemoveTakesTheCurrentEditAway) {
  panel_.list().setCurrentIndex(panel_.list().model()->index(0, 0));
  panel_.remove_current();
  ASSERT_EQ(workbench_.edits().rowCount(), 1);
  EXPECT_TRUE(std::holds_alternative<RerouteEdit>(workbench_.edits().policy().edits[0].action));
}

class RunsPanelTest : public WorkbenchTest {};

TEST_F(RunsPanelTest, AClickShowsAnEarlierRun) {
  RunsPanel panel(workbench_);
  panel.resize(260, 300);
  panel.show();
  open_model();
  generate();
  generate(prompt("Another", 5));
  auto* list = panel.findChild<QListView*>("runs");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->model()->rowCount(), 2);
  QTest::mouseClick(list->viewport(), Qt::LeftButton, {},
                    list->visualRect(list->model()->index(1, 0)).center());
  ASSERT_TRUE(wait_until([this] { return workbench_.view()->run->run.id == 1; }));
  EXPECT_EQ(workbench_.selection().run(), 1);
}

class TokenChipsTest : public ::testing::Test {
 protected:
  TokenChipsTest() {
    auto page = std::make_shared<TokenPage>();
    page->total = 130;
    for (int i = 0; i < 30; ++i) {
      TokenRow token;
      token.index = 100 + i;
      token.bytes = i == 3 ? "%1 <b>" : " word";
      token.generated = i > 4;
      page->tokens.push_back(token);
    }
    TokenStripScene scene;
    scene.page = page;
    chips_.resize(300, 200);
    chips_.set_scene(scene);
    chips_.show();
    QObject::connect(&chips_, &TokenChips::token_clicked, &chips_, [this](qint64 token) { select(token); });
  }
  void select(std::int64_t token) {
    TokenStripScene scene = chips_.scene();
    scene.selected = token;
    chips_.set_scene(scene);
  }
  void click(std::int64_t token, Qt::KeyboardModifiers keys = {}) {
    QTest::mouseClick(&chips_, Qt::LeftButton, keys, chips_.rect_of(token).center().toPoint());
  }
  TokenChips chips_;
};

TEST_F(TokenChipsTest, EveryTokenHasAPlaceOfItsOwnInReadingOrder) {
  QRectF before;
  for (int token = 100; token < 130; ++token) {
    const QRectF rect = chips_.rect_of(token);
    ASSERT_FALSE(rect.isEmpty());
    EXPECT_LE(rect.right(), chips_.width());
    EXPECT_TRUE(rect.top() > before.top() || rect.left() >= before.right());
    EXPECT_EQ(chips_.token_at(rect.center()), token);
    before = rect;
  }
  EXPECT_TRUE(chips_.rect_of(99).isEmpty());
  EXPECT_EQ(chips_.token_at({-5, -5}), -1);
}

TEST_F(TokenChipsTest, AClickChoosesATokenAndKeysGoOn) {
  click(107);
  EXPECT_EQ(chips_.scene().selected, 107);
  QTest::keyClick(&chips_, Qt::Key_Right);
  EXPECT_EQ(chips_.scene().selected, 108);
  QTest::keyClick(&chips_, Qt::Key_Left);
  QTest::keyClick(&chips_, Qt::Key_Left);
  EXPECT_EQ(chips_.scene().selected, 106);
}

TEST_F(TokenChipsTest, ShiftClickAsksForATimeFilterInEitherDirection) {
  QSignalSpy ranges(&chips_, &TokenChips::range_wanted);
  click(110);
  click(104, Qt::ShiftModifier);
  ASSERT_EQ(ranges.count(), 1);
  EXPECT_EQ(ranges[0][0].toLongLong(), 104);
  EXPECT_EQ(ranges[0][1].toLongLong(), 111);
}

TEST_F(TokenChipsTest, AnExpertsTokensLookDifferent) {
  const QImage before = chips_.grab().toImage();
  auto expert = std::make_shared<ExpertDetail>();
  expert->cell = {1, 4};
  expert->first_token = 100;
  expert->weights.assign(30, 0.0f);
  expert->weights[7] = 0.5f;
  TokenStripScene scene = chips_.scene();
  scene.expert = expert;
  chips_.set_scene(scene);
  const QImage after = chips_.grab().toImage();
  const QRect routed = chips_.rect_of(107).toAlignedRect();
  const QRect other = chips_.rect_of(109).toAlignedRect();
  EXPECT_NE(before.copy(routed), after.copy(routed));
  EXPECT_EQ(before.copy(other), after.copy(other));
}

class TokenStripTest : public ::testing::Test {
 protected:
  TokenStripTest() {
    strip_.resize(300, 80);
    show_page(0);
    strip_.show();
  }
  /// As many tokens as a page has, from `first` on.
  void show_page(std::int64_t first) {
    auto page = std::make_shared<TokenPage>();
    page->total = 4 * kPageTokens;
    for (std::int64_t i = 0; i < kPageTokens; ++i) {
      TokenRow token;
      token.index = first + i;
      token.bytes = " word";
      page->tokens.push_back(token);
    }
    TokenStripScene scene = strip_.chips().scene();
    scene.page = page;
    strip_.set_scene(scene);
  }
  void select(std::int64_t token) {
    TokenStripScene scene = strip_.chips().scene();
    scene.selected = token;
    strip_.set_scene(scene);
  }
  bool shows(std::int64_t token) {
    const QRect at = strip_.chips().rect_of(token).toAlignedRect();
    return !at.isEmpty() && strip_.chips().visibleRegion().boundingRect().contains(at);
  }
  void scroll_to_end() { strip_.verticalScrollBar()->setValue(strip_.verticalScrollBar()->maximum()); }
  TokenStrip strip_;
};

TEST_F(TokenStripTest, AtTheEndNoLineIsCutAboveOrBelow) {
  for (const int height : {66, 80, 93, 105}) {
    strip_.resize(300, height);
    strip_.verticalScrollBar()->setValue(strip_.verticalScrollBar()->maximum());
    const int top = strip_.verticalScrollBar()->value();
    EXPECT_GT(top, 0);
    for (std::int64_t token = 0; token < kPageTokens; ++token) {
      const QRectF chip = strip_.chips().rect_of(token);
      EXPECT_TRUE(chip.bottom() <= top || chip.top() >= top) << token << " in " << height;
    }
    EXPECT_LE(strip_.chips().rect_of(kPageTokens - 1).bottom(), top + strip_.viewport()->height());
  }
}

TEST_F(TokenStripTest, StaysAtItsEndThroughAResizeAndElsewhereWhereItIs) {
  scroll_to_end();
  for (const QSize size : {QSize(300, 130), QSize(420, 95), QSize(260, 66), QSize(300, 80)}) {
    strip_.resize(size);
    settle();
    EXPECT_EQ(strip_.verticalScrollBar()->value(), strip_.verticalScrollBar()->maximum());
    EXPECT_TRUE(shows(kPageTokens - 1)) << size.width() << " x " << size.height();
  }
  strip_.verticalScrollBar()->setValue(100);
  strip_.resize(300, 130);
  EXPECT_EQ(strip_.verticalScrollBar()->value(), 100);
}

TEST_F(TokenStripTest, ATokenOfAnotherPageIsShownWhenThePageArrives) {
  for (const bool from_end : {true, false}) {
    SCOPED_TRACE(from_end);
    show_page(0);
    select(-1);
    strip_.verticalScrollBar()->setValue(0);
    if (from_end) scroll_to_end();
    const std::int64_t token = 2 * kPageTokens;
    select(token);  // the page is on its way
    show_page(token - kPageTokens / 2);
    EXPECT_TRUE(shows(token));
    show_page(token - kPageTokens / 2);
    EXPECT_TRUE(shows(token)) << "also after the next answer of the trace";
  }
}

TEST_F(TokenStripTest, WhoScrollsAwayFromTheSelectedTokenStaysThere) {
  select(5);
  ASSERT_TRUE(shows(5));
  strip_.verticalScrollBar()->setValue(strip_.verticalScrollBar()->maximum() / 2);
  const int value = strip_.verticalScrollBar()->value();
  show_page(0);
  EXPECT_EQ(strip_.verticalScrollBar()->value(), value);
  select(-1);
  select(5);
  EXPECT_TRUE(shows(5)) << "until it is selected again";
}

TEST_F(TokenStripTest, AClickedTokenStaysUnderTheMouse) {
  QObject::connect(&strip_.chips(), &TokenChips::token_clicked, &strip_,
                   [this](qint64 token) { select(token); });
  for (int y = 1; y < strip_.viewport()->height(); y += 3) {
    strip_.verticalScrollBar()->setValue(200);
    const QPoint at = strip_.chips().mapFrom(strip_.viewport(), QPoint(30, y));
    const std::int64_t token = strip_.chips().token_at(at);
    if (token < 0) continue;
    QTest::mouseClick(&strip_.chips(), Qt::LeftButton, {}, at);
    EXPECT_EQ(strip_.chips().scene().selected, token);
    EXPECT_EQ(strip_.verticalScrollBar()->value(), 200) << "a click at height " << y;
  }
}

TEST(Sparkline, DrawsItsValuesAndNothingForNone) {
  Sparkline line;
  line.resize(200, 56);
  const QImage empty = line.grab().toImage();
  line.set_values({0.1f, 0.9f, 0.0f}, {0, 30});
  EXPECT_NE(line.grab().toImage(), empty);
  EXPECT_TRUE(line.accessibleDescription().contains("90"));
}

}  // namespace
}  // namespace expertscope::testing
