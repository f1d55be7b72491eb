// SPDX-License-Identifier: GPL-3.0-or-later
// Views of what analyses find: asked for while they can be seen.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QDockWidget>
#include <QLabel>
#include <QRegularExpression>
#include <QScrollArea>
#include <QScrollBar>
#include <QTableView>
#include <QToolButton>
#include <algorithm>
#include <cstdlib>

#include "engine/run/session.h"
#include "probes/capture/profile.h"
#include "tests/gui/window/window_fixture.h"
#include "views/models/numbers.h"
#include "views/widgets/domain_chip.h"
#include "views/widgets/domains_view.h"
#include "views/widgets/expert_charts.h"
#include "views/widgets/generation_panel.h"

namespace expertscope::testing {
namespace {

class LayersTest : public WindowTest {
 protected:
  QTableView& table() { return part<QTableView>("layers"); }
  int rows() { return table().model()->rowCount(); }
};

TEST_F(LayersTest, AreReadWhenTheyAreShownAndNotBefore) {
  open_model();
  generate();
  QTest::qWait(100);  // long enough for what would be read behind another tab
  EXPECT_EQ(rows(), 0);
  EXPECT_FALSE(table().isVisible());
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  EXPECT_EQ(table().model()->index(1, 0).data().toString(), "1");
  EXPECT_TRUE(table().isColumnHidden(1)) << "that every layer has a router says nothing";
}

TEST_F(LayersTest, AClickSelectsTheLayerAndTheSelectionItsRow) {
  open_model();
  generate();
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  workbench_.selection().set_cell({2, 7});
  EXPECT_EQ(table().currentIndex().row(), 2);
  const QRect row = table().visualRect(table().model()->index(1, 0));
  QTest::mouseClick(table().viewport(), Qt::LeftButton, {}, row.center());
  EXPECT_EQ(workbench_.selection().cell(), (Cell{1, 7}));
}

TEST_F(LayersTest, FollowTheRangeAndEmptyWithTheTrace) {
  open_model();
  generate();
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  const auto dead = [this] {
    for (int column = 0; column < table().model()->columnCount(); ++column) {
      if (table().model()->headerData(column, Qt::Horizontal).toString() == "dead")
        return table().model()->index(0, column).data().toString().toInt();
    }
    return -1;
  };
  const int before = dead();
  workbench_.selection().set_range({0, 1});
  EXPECT_TRUE(wait_until([&] { return dead() > before; })) << "a token uses fewer experts than a run";
  workbench_.close();
  EXPECT_EQ(rows(), 0);
}

/// A trace of two domains, as the command line profiles one.
class DomainTrace : public WindowTest {
 protected:
  void open_domains() {
    const auto model = Model::open(source("tests/data/models/top8"));
    require(model.has_value(), "the model does not open");
    BackendOptions options;
    options.max_context = 64;
    options.max_batch = 64;
    const auto session = Session::create(*model, options);
    require(session.has_value(), "there is no session");
    Dataset data;
    data.name = "lines.jsonl";
    for (int i = 0; i < 6; ++i) {
      data.documents.push_back({i % 2 == 0 ? "In the beginning God created" : "def main(): return 1 + 2",
                                i % 2 == 0 ? "english" : "python"});
    }
    ProfileOptions profiling;
    profiling.sequence_length = 24;
    const std::string trace = file("domains.db").toStdString();
    require(profile(**session, data, profiling, trace).has_value(), "nothing was recorded");
    workbench_.open(file("domains.db"));
    require(wait_until([this] { return workbench_.view() && workbench_.view()->run; }), first_error());
  }
};

class DomainsTest : public DomainTrace {
 protected:
  HeatmapView& domain_map() { return *window_.findChild<DomainsView*>()->findChild<HeatmapView*>(); }
  bool has_values() { return domain_map().scene().data && domain_map().scene().data->has_values(); }
};

TEST_F(DomainsTest, ARunWithoutDomainsSaysWhatIsMissing) {
  open_model();
  window_.show_view("domains");
  EXPECT_TRUE(domain_map().hint().contains("at least two")) << "before anything ran";
  generate();
  settle();
  EXPECT_TRUE(domain_map().hint().contains("at least two"));
  EXPECT_FALSE(part<QComboBox>("domain").isVisible());
  EXPECT_FALSE(has_values());
}

TEST_F(DomainsTest, OneDomainIsOnTheMapAgainstAllOthers) {
  open_domains();
  window_.show_view("domains");
  ASSERT_TRUE(wait_until([this] { return has_values(); }));
  auto& domain = part<QComboBox>("domain");
  ASSERT_EQ(domain.count(), 2);
  EXPECT_EQ(domain.currentText(), "english");
  const double english = domain_map().scene().data->at({1, 4});
  EXPECT_TRUE(domain_map().scene().data->difference);
  domain.setCurrentIndex(1);
  EXPECT_NEAR(domain_map().scene().data->at({1, 4}), -english, 1e-12) << "of two domains";
  part<QComboBox>("domain_against").setCurrentIndex(1);
  EXPECT_FALSE(domain_map().scene().data->difference);
  EXPECT_FALSE(map().scene().super_cells.empty());
  EXPECT_EQ(domain_map().scene().super_cells, map().scene().super_cells);
}

TEST_F(DomainsTest, SharesTheSelectionWithTheRoutingMap) {
  open_domains();
  window_.show_view("domains");
  ASSERT_TRUE(wait_until([this] { return has_values(); }));
  const QPoint at = domain_map().geometry_map().rect_of({2, 5}).center().toPoint();
  QTest::mouseClick(&domain_map(), Qt::LeftButton, {}, at);
  EXPECT_EQ(workbench_.selection().cell(), (Cell{2, 5}));
  EXPECT_EQ(map().scene().selected, (Cell{2, 5}));
}

/// A metric that aggregates do not have.
class SlowMetricTest : public DomainTrace {
 protected:
  void choose(const QString& name) {
    auto& metric = part<QComboBox>("metric");
    metric.setCurrentIndex(metric.findText(name));
  }
  bool has_values() { return map().scene().data->has_values(); }
  void open_map() {
    open_domains();
    ASSERT_TRUE(wait_until([this] { return map().scene().data && has_values(); }));
  }
};

TEST_F(SlowMetricTest, IsComputedOnceItIsChosenAndTheMapSaysSo) {
  open_map();
  choose("Known from token");
  EXPECT_FALSE(has_values()) << "nothing of another metric under its name";
  EXPECT_EQ(map().hint(), "Computing: known from token…");
  ASSERT_TRUE(wait_until([this] { return has_values(); }));
  EXPECT_EQ(map().scene().data->name, "Known from token");
  const double value = map().scene().data->at({1, 4});
  EXPECT_TRUE(value > 0 && value <= 1) << value;
  click_cell({1, 4});
  EXPECT_TRUE(has_values()) << "and not computed again for a selection";
}

TEST_F(SlowMetricTest, IsStoppedByAnotherAndComesWhenItIsChosenAgain) {
  open_map();
  choose("Known from token");
  choose("Load");
  EXPECT_TRUE(has_values()) << "what aggregates say is there at once";
  choose("Known from token");
  EXPECT_TRUE(wait_until([this] { return has_values(); }));
}

TEST_F(SlowMetricTest, HasADifferenceFromABaseline) {
  open_model();
  generate();
  generate(prompt("And God said", 20));
  choose("Known from token");
  ASSERT_TRUE(wait_until([this] { return has_values(); }));
  workbench_.selection().set_baseline(1);
  ASSERT_TRUE(wait_until([this] { return map().scene().data->difference && has_values(); }));
}

TEST_F(SlowMetricTest, IsRememberedAndSaysWhatTheRunLacks) {
  choose("Known from token");
  EXPECT_EQ(settings_.value("map/metric").toString(), "strings/experts/known_from_token");
  for (QAction* action : window_.findChildren<QAction*>(QRegularExpression("metric_[1-4]")))
    EXPECT_FALSE(action->isChecked());
}

/// Only the tokens of one domain count.
class DomainFilterTest : public DomainTrace {
 protected:
  std::int64_t counted() { return workbench_.expert_table()->tokens; }
  void filter(const QString& domain) {
    auto& combo = part<QComboBox>("domain_filter");
    const int index = combo.findData(domain);
    require(index >= 0, "there is no such domain");
    combo.setCurrentIndex(index);
    Q_EMIT combo.activated(index);
    ASSERT_TRUE(wait_until([&] { return workbench_.view()->query.domain == domain.toStdString(); }));
  }
  bool any_chip() {
    const auto chips = window_.findChildren<DomainChip*>();
    return std::any_of(chips.begin(), chips.end(), [](DomainChip* chip) { return chip->isVisible(); });
  }
};

TEST_F(DomainFilterTest, CountsInTheMapTheTableAndTheStrip) {
  open_domains();
  const std::int64_t all = counted();
  EXPECT_FALSE(any_chip());
  filter("english");
  EXPECT_GT(counted(), 0);
  EXPECT_LT(counted(), all);
  EXPECT_TRUE(any_chip());
  const double english = map().scene().data->at({1, 4});
  const TokenStripScene& strip = window_.findChild<TokenStrip*>()->chips().scene();
  ASSERT_TRUE(strip.counted);
  EXPECT_EQ(std::count(strip.counted->begin(), strip.counted->end(), 1), counted());
  const std::int64_t last = workbench_.view()->tokens->tokens.back().index;
  EXPECT_TRUE(counts(strip.counted.get(), last)) << "the last page ends with the domain";
  const std::int64_t english_tokens = counted();
  filter("python");
  EXPECT_EQ(counted() + english_tokens, all);
  EXPECT_NE(map().scene().data->at({1, 4}), english);
  EXPECT_EQ(workbench_.table().index(0, ExpertTableModel::kCount).data().toString(),
            count_text(workbench_.expert_table()->at(0, 0).count));
}

TEST_F(DomainFilterTest, SaysTheSameLoadAsTheAnalysisOfDomains) {
  open_domains();
  workbench_.selection().set_cell({1, 4});
  filter("python");
  const double load = map().scene().data->at({1, 4});
  const auto& bars = *window_.findChild<DomainBars*>();
  ASSERT_TRUE(wait_until([&] {
    return bars.isVisible() && bars.accessibleDescription().contains("english");
  })) << "domains are held against each other whatever is filtered";
  EXPECT_TRUE(bars.accessibleDescription().contains("python " + percent_text(load)))
      << bars.accessibleDescription().toStdString();
}

TEST_F(DomainFilterTest, CountsInWhatTheExpertPageFinds) {
  open_domains();
  workbench_.selection().set_cell({1, 4});
  auto& strings = part<QTableView>("expert_strings");
  ASSERT_TRUE(wait_until([&] { return strings.isVisible() && strings.isEnabled(); }));
  const int all = strings.model()->rowCount();
  filter("python");
  ASSERT_TRUE(wait_until([&] { return strings.isEnabled() && strings.model()->rowCount() < all; }));
  for (const RoutedToken& token : workbench_.view()->expert->top) {
    EXPECT_TRUE(counts(workbench_.view()->counted.get(), token.token));
  }
}

TEST_F(DomainFilterTest, GoesWithItsChipAndWithTheRun) {
  open_domains();
  const std::int64_t all = counted();
  workbench_.selection().set_cell({1, 4});
  filter("python");
  auto* chip = window_.findChild<GenerationPanel*>()->findChild<DomainChip*>();
  ASSERT_TRUE(chip->isVisible());
  EXPECT_LE(part<QDockWidget>("runs_dock").width(), 300) << "a chip does not hold the column wide";
  EXPECT_TRUE(chip->text().startsWith("python"));
  click(*chip);
  EXPECT_TRUE(wait_until([&] { return counted() == all; }));
  EXPECT_FALSE(any_chip());
  EXPECT_EQ(part<QComboBox>("domain_filter").currentText(), "all domains");
}

class ExpertPageTest : public DomainTrace {
 protected:
  QTableView& strings() { return part<QTableView>("expert_strings"); }
  QString tokens() { return part<QLabel>("expert_tokens").text(); }
  void select(Cell cell) {
    workbench_.selection().set_cell(cell);
    const auto is_shown = [&] {
      return workbench_.view()->expert && workbench_.view()->expert->cell == cell;
    };
    ASSERT_TRUE(wait_until(is_shown));
    ASSERT_TRUE(wait_until([&] { return strings().isVisible() && strings().isEnabled(); }));
  }
};

TEST_F(ExpertPageTest, IsThereWhileAnExpertIsSelected) {
  open_domains();
  EXPECT_FALSE(part<QDockWidget>("expert_dock").isVisible());
  select({1, 4});
  EXPECT_TRUE(part<QDockWidget>("expert_dock").isVisible());
  EXPECT_EQ(part<QLabel>("expert_title").text(), "Layer 1 · Expert 4");
  EXPECT_TRUE(part<QLabel>("expert_figures").text().contains("max |down_proj|"));
}

TEST_F(ExpertPageTest, SaysWhichStringsAreRoutedToTheExpertAndWhereInEachDomain) {
  open_domains();
  select({1, 4});
  ASSERT_GT(strings().model()->rowCount(), 1);
  EXPECT_TRUE(strings().isColumnHidden(0)) << "the layer is the selected one";
  const QString strongest = tokens();
  EXPECT_TRUE(strongest.contains("token:"));
  part<QToolButton>("tokens_by_domain").click();
  ASSERT_TRUE(wait_until([&] { return tokens().contains("english") || tokens().contains("python"); }));
  const QString first = tokens();
  strings().selectRow(1);
  EXPECT_NE(tokens(), first) << "of the chosen string";
  Q_EMIT part<QLabel>("expert_tokens").linkActivated("token:3");
  EXPECT_EQ(workbench_.selection().token(), 3);
  part<QToolButton>("tokens_strongest").click();
  EXPECT_EQ(tokens(), strongest);
}

TEST_F(ExpertPageTest, HasTheDomainsAndPartnersOfTheSelectedExpert) {
  open_domains();
  select({1, 4});
  const auto& bars = *window_.findChild<DomainBars*>();
  const auto has_bars = [&] { return bars.isVisible() && bars.accessibleDescription().contains("python"); };
  ASSERT_TRUE(wait_until(has_bars));
  auto& partners = part<QLabel>("expert_partners");
  ASSERT_TRUE(wait_until([&] { return partners.text().contains("expert:"); }));
  const QString before = partners.text();
  Q_EMIT partners.linkActivated("expert:9");
  EXPECT_EQ(workbench_.selection().cell(), (Cell{1, 9}));
  EXPECT_TRUE(wait_until([&] { return partners.isEnabled() && partners.text() != before; }));
}

TEST_F(ExpertPageTest, LeavesOutWhatARunCannotSay) {
  open_model();
  generate();
  select({1, 4});
  ASSERT_TRUE(wait_until([this] { return part<QLabel>("expert_partners").isVisible(); }));
  EXPECT_FALSE(window_.findChild<DomainBars*>()->isVisible()) << "a prompt has no domain";
}

TEST_F(ExpertPageTest, StandsSideBySideInTheColumnOfAWideWindow) {
  open_domains();
  select({1, 4});
  const auto left = [this](const char* name) {
    return part<QToolButton>(name).mapTo(&window_, QPoint()).x();
  };
  EXPECT_EQ(left("expert_prune_mask"), left("expert_boost")) << "three in a row";
  window_.resize(1920, 1080);
  ASSERT_TRUE(wait_until([&] { return left("expert_boost") > left("expert_prune_mask"); }));
  EXPECT_TRUE(part<QLabel>("expert_figures").text().contains("slots"));
  window_.resize(1280, 860);
  EXPECT_TRUE(wait_until([&] { return left("expert_prune_mask") == left("expert_boost"); }));
  EXPECT_LE(part<QDockWidget>("expert_dock").width(), 300) << "and the page does not hold the column wide";
}

TEST_F(ExpertPageTest, FitsIntoTheColumnOfAFullScreen) {
  open_domains();
  window_.resize(1920, 1080);
  select({1, 4});
  ASSERT_TRUE(wait_until([this] { return part<QLabel>("expert_partners").isVisible(); }));
  settle();
  EXPECT_EQ(part<QScrollArea>("expert_scroll").verticalScrollBar()->maximum(), 0);
}

TEST_F(ExpertPageTest, EnterOnTheMapGoesThereAndEscapeBack) {
  open_domains();
  click_cell({1, 4});
  workbench_.selection().set_token(3);
  ASSERT_TRUE(wait_until([this] { return part<QTableView>("token_slots").isVisible(); }));
  EXPECT_FALSE(part<QLabel>("expert_title").isVisible());
  QTest::keyClick(&map(), Qt::Key_Return);
  ASSERT_TRUE(wait_until([this] { return part<QLabel>("expert_title").isVisible(); }));
  ASSERT_NE(window_.focusWidget(), nullptr);
  EXPECT_TRUE(part<QWidget>("expert_page").isAncestorOf(window_.focusWidget()));
  QTest::keyClick(window_.focusWidget(), Qt::Key_Escape);
  EXPECT_FALSE(workbench_.selection().cell().valid());
}

TEST_F(ExpertPageTest, StepsThroughTheRankingOfTheLayer) {
  open_domains();
  select({1, 4});
  const auto rank = [this] { return workbench_.view()->expert->rank; };
  const int before = rank();
  part<QToolButton>(before > 1 ? "expert_busier" : "expert_less_busy").click();
  EXPECT_TRUE(wait_until([&] { return std::abs(rank() - before) == 1; }));
}

}  // namespace
}  // namespace expertscope::testing
