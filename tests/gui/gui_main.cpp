// SPDX-License-Identifier: GPL-3.0-or-later
// main() of every test binary with Qt: no display, no access to the person's own settings and files.
#include <gtest/gtest.h>

#include <QApplication>
#include <QTemporaryDir>
#include <clocale>
#include <cstdio>
#include <string_view>

#include "views/models/plain_numbers.h"

namespace {

/// The off-screen plugin tells with every window what it cannot do; everything else is worth reading.
void print_message(QtMsgType, const QMessageLogContext&, const QString& message) {
  if (!message.startsWith(QLatin1String("This plugin does not support")))
    std::fprintf(stderr, "%s\n", qPrintable(message));
}

/// Tests that were asked to run in another locale do: without its files a program stays in "C" and says
/// nothing.
bool locale_is_in_force() {
  const bool wanted = qEnvironmentVariable("LC_ALL").startsWith(QLatin1String("de_DE"));
  if (!wanted || std::string_view(std::localeconv()->decimal_point) == ",") return true;
  std::fputs("the locale de_DE.UTF-8 is not there (LOCPATH)\n", stderr);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // mkdtemp makes it 0700, which is what Qt asks of XDG_RUNTIME_DIR.
  const QTemporaryDir home;
  if (!home.isValid()) {
    std::fputs("no temporary folder for the tests\n", stderr);
    return 1;
  }
  const QByteArray path = home.path().toLocal8Bit();
  for (const char* name :
       {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"}) {
    qputenv(name, path);
  }
  qputenv("QT_QPA_PLATFORM", "offscreen");
  qputenv("QT_FONT_DPI", "96");
  qunsetenv("QT_SCALE_FACTOR");
  qunsetenv("QT_STYLE_OVERRIDE");
  qInstallMessageHandler(print_message);
  QApplication::setStyle(QStringLiteral("Fusion"));
  const QApplication application(argc, argv);
  if (!locale_is_in_force()) return 1;
  expertscope::use_plain_numbers();
  return RUN_ALL_TESTS();
}
