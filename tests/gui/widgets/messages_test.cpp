// SPDX-License-Identifier: GPL-3.0-or-later
// What the window says without being asked: messages, and what is being opened.
#include <gtest/gtest.h>

#include <QLabel>
#include <QProgressBar>
#include <QPushButton>
#include <QSignalSpy>
#include <QTimer>
#include <QToolButton>

#include "tests/gui/support.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/opening_progress.h"

namespace expertscope::testing {
namespace {

TEST(MessageBanner, ShowsAnErrorUntilItIsClosed) {
  MessageBanner banner;
  EXPECT_FALSE(banner.isVisible());
  banner.show_error("config.json: field 'num_experts' is missing");
  EXPECT_TRUE(banner.isVisible());
  EXPECT_TRUE(banner.is_error());
  EXPECT_TRUE(banner.accessibleName().startsWith("Error"));
  QTest::mouseClick(banner.findChild<QPushButton*>("banner_close"), Qt::LeftButton);
  EXPECT_FALSE(banner.isVisible());
  EXPECT_FALSE(banner.is_error());
}

TEST(MessageBanner, ANoticeDoesNotHideAnErrorThatNobodyHasClosed) {
  MessageBanner banner;
  banner.show_error("it broke");
  banner.show_notice("Written: a");
  banner.show_notice("Written: b");
  EXPECT_TRUE(banner.is_error());
  EXPECT_EQ(banner.message(), "it broke\nWritten: b");
  banner.dismiss_trouble();
  EXPECT_FALSE(banner.is_error());
  EXPECT_EQ(banner.message(), "Written: b");
}

TEST(MessageBanner, ANoticeLeavesOnItsOwnAndTheErrorAboveItStays) {
  MessageBanner banner;
  banner.show_error("it broke");
  banner.show_notice("Written: a");
  auto* fade = banner.findChild<QTimer*>();
  ASSERT_TRUE(fade->isActive());
  fade->setInterval(0);
  ASSERT_TRUE(wait_until([&] { return banner.message() == "it broke"; }));
  EXPECT_TRUE(banner.isVisible());
}

TEST(MessageBanner, ItsButtonsStayInPlaceHoweverLongTheMessageIs) {
  QWidget window;
  window.resize(700, 500);
  MessageBanner banner(&window);
  window.show();
  banner.show_error("it broke");
  auto* close = banner.findChild<QPushButton*>("banner_close");
  const auto place = [&] {
    settle();
    return QRect(close->mapTo(&window, QPoint()), close->size());
  };
  const QRect before = place();
  EXPECT_TRUE(window.rect().contains(banner.geometry()));
  banner.show_notice("Written: a file");
  EXPECT_EQ(place(), before);
  banner.show_error("/a/folder/" + QString(300, 'x') + QString(" and more").repeated(200),
                    {"Continue on the CPU", [] {}});
  EXPECT_EQ(place(), before);
  EXPECT_TRUE(window.rect().contains(banner.geometry())) << "it can be scrolled";
  window.resize(600, 400);
  EXPECT_TRUE(window.rect().contains(banner.geometry()));
}

TEST(MessageBanner, ShowsMarkupInAMessageAsText) {
  MessageBanner banner;
  banner.show_error("<img src=x> & <b>");
  EXPECT_EQ(banner.message(), "<img src=x> & <b>");
}

TEST(OpeningProgress, SaysWhatIsOpenedAndAtWhichPhaseItIs) {
  OpeningProgress progress;
  progress.resize(420, 24);
  EXPECT_FALSE(progress.isVisible());
  progress.begin("demo");
  EXPECT_TRUE(progress.isVisible());
  EXPECT_EQ(progress.text(), "Opening demo");
  progress.show_phase("reading <b>config.json</b> of a model whose name is longer than there is room", 0.25);
  EXPECT_TRUE(progress.text().startsWith("Opening demo: reading <b>config.json</b>"));
  const auto* label = progress.findChild<QLabel*>("opening_text");
  EXPECT_TRUE(label->text().endsWith(QChar(0x2026)));
  EXPECT_TRUE(label->toolTip().contains("&lt;b&gt;config.json")) << label->toolTip().toStdString();
  EXPECT_EQ(progress.findChild<QProgressBar*>()->value(), 250);
  QSignalSpy cancelled(&progress, &OpeningProgress::cancelled);
  QTest::mouseClick(progress.findChild<QToolButton*>("opening_cancel"), Qt::LeftButton);
  EXPECT_EQ(cancelled.count(), 1);
  progress.end();
  EXPECT_FALSE(progress.isVisible());
}

}  // namespace
}  // namespace expertscope::testing
