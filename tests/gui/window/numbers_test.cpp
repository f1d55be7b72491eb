// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers are the same in every locale; this suite also runs in one with a decimal comma.
#include <gtest/gtest.h>

#include <QDoubleSpinBox>
#include <QLabel>
#include <QRegularExpression>
#include <QToolButton>
#include <nlohmann/json.hpp>

#include "tests/gui/window/window_fixture.h"
#include "views/widgets/prompt_bar.h"

namespace expertscope::testing {
namespace {

class NumbersTest : public WindowTest {
 protected:
  void type_temperature(const QString& text) {
    click(part<QToolButton>("sampling"));
    auto& field = part<QDoubleSpinBox>("temperature");
    field.setFocus();
    field.selectAll();
    QTest::keyClicks(&field, text);
    QTest::keyClick(&field, Qt::Key_Tab);
    field.window()->close();
  }
};

TEST_F(NumbersTest, WhatIsTypedIsWhatTheTraceAndTheReportSay) {
  open_model();
  type_temperature("0.7");
  EXPECT_EQ(part<QDoubleSpinBox>("temperature").text(), "0.70");
  PromptRequest request = window_.findChild<PromptBar*>()->request();
  EXPECT_FLOAT_EQ(request.options.sampling.temperature, 0.7f);
  request.options.sampling.top_p = 0.9f;
  request.options.max_tokens = 3;
  generate(request);
  const auto sampling = nlohmann::json::parse(workbench_.view()->run->run.sampling);
  EXPECT_EQ(sampling["temperature"], 0.7);
  EXPECT_EQ(sampling["top_p"], 0.9);
  save_by("export_report", file("report.html"));
  EXPECT_TRUE(read(file("report.html")).contains("&quot;temperature&quot;:0.7"));
}

TEST_F(NumbersTest, ADecimalCommaIsUnderstood) {
  open_model();
  type_temperature("0,7");
  EXPECT_DOUBLE_EQ(part<QDoubleSpinBox>("temperature").value(), 0.7);
}

TEST_F(NumbersTest, TablesAndPicturesHaveADecimalPoint) {
  open_model();
  generate();
  save_by("export_csv", file("table.csv"));
  const QByteArray csv = read(file("table.csv"));
  const auto columns = csv.left(csv.indexOf('\n')).count(',');
  for (const QByteArray& line : csv.trimmed().split('\n'))
    EXPECT_EQ(line.count(','), columns) << line.toStdString();
  const QByteArray svg = map().figure_svg();
  EXPECT_FALSE(QString::fromUtf8(svg).contains(QRegularExpression("=\"\\d+,\\d+\"")));
}

TEST_F(NumbersTest, APromptThatDoesNotFitIsRefusedBeforeARunBegins) {
  open_model();
  generate();
  std::string text;
  for (int i = 0; i < 20000; ++i)
    text += "word ";
  workbench_.generate(prompt(text));
  ASSERT_TRUE(wait_until([this] { return !errors_.empty(); }));
  EXPECT_NE(first_error().find("of the prompt do not fit into the context of"), std::string::npos)
      << first_error();
  EXPECT_EQ(workbench_.engine().state(), EngineState::ready);
  settle();
  EXPECT_EQ(runs_seen(), 1u) << "no failed run is left";
  EXPECT_NE(part<QLabel>("rate").text(), "reading the prompt");
  EXPECT_TRUE(map().scene().data->has_values()) << "the map still shows the run before";
}

}  // namespace
}  // namespace expertscope::testing
