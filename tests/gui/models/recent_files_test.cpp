// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/recent_files.h"

#include <gtest/gtest.h>

#include <QSignalSpy>
#include <QTemporaryDir>

#include "tests/gui/support.h"

namespace expertscope::testing {
namespace {

class RecentFilesTest : public ::testing::Test {
 protected:
  QTemporaryDir folder_;
  QSettings settings_{folder_.filePath("settings.ini"), QSettings::IniFormat};
};

TEST_F(RecentFilesTest, PutsTheNewestFirstAndNamesEachOnce) {
  RecentFiles recent(settings_);
  recent.add("/a");
  recent.add("/b");
  recent.add("/a");
  EXPECT_EQ(recent.paths(), QStringList({"/a", "/b"}));
}

TEST_F(RecentFilesTest, KeepsEight) {
  RecentFiles recent(settings_);
  for (int i = 0; i < 20; ++i) {
    recent.add(QString::number(i));
  }
  EXPECT_EQ(recent.paths().size(), 8);
  EXPECT_EQ(recent.paths().first(), "19");
}

TEST_F(RecentFilesTest, SurvivesARestart) {
  {
    RecentFiles recent(settings_);
    recent.add("/models/demo");
    recent.add("/traces/with, comma.db");
  }
  settings_.sync();
  QSettings reopened(folder_.filePath("settings.ini"), QSettings::IniFormat);
  EXPECT_EQ(RecentFiles(reopened).paths(), QStringList({"/traces/with, comma.db", "/models/demo"}));
}

TEST_F(RecentFilesTest, ForgetsOneOrAll) {
  RecentFiles recent(settings_);
  recent.add("/a");
  recent.add("/b");
  QSignalSpy changes(&recent, &RecentFiles::changed);
  recent.remove("/a");
  recent.remove("/never there");
  EXPECT_EQ(recent.paths(), QStringList({"/b"}));
  recent.clear();
  EXPECT_TRUE(recent.paths().isEmpty());
  EXPECT_EQ(changes.count(), 2);
}

}  // namespace
}  // namespace expertscope::testing
