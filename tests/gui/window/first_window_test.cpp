// SPDX-License-Identifier: GPL-3.0-or-later
// Where the window stands when nobody has placed it yet.
#include "views/window/first_window.h"

#include <gtest/gtest.h>

namespace expertscope::testing {
namespace {

TEST(FirstWindow, FitsIntoTheScreenWithItsFrame) {
  for (const QRect screen : {QRect(0, 0, 1024, 728), QRect(0, 27, 1280, 773), QRect(1920, 0, 1920, 1053),
                             QRect(0, 0, 2560, 1440), QRect(64, 32, 3776, 2128)}) {
    const QRect window = first_window(screen);
    SCOPED_TRACE(screen.width());
    EXPECT_TRUE(screen.contains(window));
    EXPECT_GE(window.top() - screen.top(), 30) << "the title bar";
  }
}

TEST(FirstWindow, UsesTheScreen) {
  for (const QRect screen : {QRect(0, 0, 1024, 728), QRect(0, 0, 1280, 800), QRect(0, 0, 1440, 900)}) {
    EXPECT_GE(first_window(screen).width(), screen.width() - 16);
    EXPECT_GE(first_window(screen).height(), screen.height() - 48);
  }
  for (const QRect screen : {QRect(0, 0, 1920, 1080), QRect(0, 0, 2560, 1440), QRect(0, 0, 3840, 2160)}) {
    EXPECT_GE(first_window(screen).width(), screen.width() * 88 / 100);
    EXPECT_GE(first_window(screen).height(), screen.height() * 85 / 100);
  }
}

TEST(FirstWindow, StandsInTheMiddle) {
  const QRect screen(1920, 0, 1920, 1080);
  const QRect window = first_window(screen);
  EXPECT_NEAR(window.center().x(), screen.center().x(), 1);
  EXPECT_NEAR(window.center().y(), screen.center().y(), 20);
}

}  // namespace
}  // namespace expertscope::testing
