// SPDX-License-Identifier: GPL-3.0-or-later
// Views of what analyses find: asked for while they can be seen.
#include <gtest/gtest.h>

#include <QComboBox>
#include <QDockWidget>
#include <QLabel>
#include <QRegularExpression>
#include <QTableView>

#include "engine/run/session.h"
#include "probes/capture/profile.h"
#include "tests/gui/window/window_fixture.h"
#include "views/widgets/domains_view.h"

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
  settle();
  EXPECT_EQ(rows(), 0);
  window_.show_view("layers");
  ASSERT_TRUE(wait_until([this] { return rows() == 3; }));
  EXPECT_EQ(table().model()->index(1, 0).data().toString(), "1");
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

TEST_F(DomainsTest, OneDomainIsOnTheMapAgainstTheMeanOfAll) {
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

TEST_F(DomainsTest, ARunWithoutDomainsSaysWhatIsMissing) {
  open_model();
  generate();
  window_.show_view("domains");
  auto& domain = part<QComboBox>("domain");
  EXPECT_TRUE(wait_until([&] { return !domain.isEnabled(); }));
  EXPECT_FALSE(has_values());
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

class StringsTest : public DomainTrace {};

TEST_F(StringsTest, AreThoseOfTheSelectedExpertWithExamples) {
  open_domains();
  EXPECT_FALSE(part<QDockWidget>("strings_dock").isVisible()) << "nothing is selected";
  workbench_.selection().set_cell({1, 4});
  ASSERT_TRUE(wait_until([this] { return part<QDockWidget>("strings_dock").isVisible(); }));
  window_.show_view("strings");
  auto& table = part<QTableView>("strings");
  ASSERT_TRUE(wait_until([&] { return table.model()->rowCount() > 0; }));
  EXPECT_TRUE(table.isColumnHidden(0)) << "the layer is the selected one";
  auto& examples = part<QLabel>("string_examples");
  EXPECT_TRUE(wait_until([&] { return examples.text().contains("<a href="); }));
  Q_EMIT examples.linkActivated("3");
  EXPECT_EQ(workbench_.selection().token(), 3);
  const QString first = examples.text();
  const int cells = table.model()->rowCount();
  workbench_.selection().set_cell({2, 9});
  EXPECT_TRUE(wait_until([&] { return table.model()->rowCount() != cells || examples.text() != first; }));
}

}  // namespace
}  // namespace expertscope::testing
