// SPDX-License-Identifier: GPL-3.0-or-later
#include <QApplication>
#include <QCommandLineParser>
#include <QIcon>
#include <QLoggingCategory>
#include <QSettings>
#include <QTemporaryDir>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>

#include "app/faults/faults.h"
#include "app/gui/headless_demo.h"
#include "app/gui/program_paths.h"
#include "engine/formats/descriptor.h"
#include "probes/capture/recorder.h"
#include "views/models/plain_numbers.h"
#include "views/window/main_window.h"
#include "views/window/theme.h"

namespace {

/// True for what needs no display: --headless-demo, and the texts that end the program at once.
bool is_headless(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const QByteArrayView argument(argv[i]);
    if (argument == "--headless-demo" || argument.startsWith("--headless-demo=")) return true;
    if (argument == "--help" || argument == "-h" || argument == "--version" || argument == "-v") return true;
  }
  return false;
}

/// The off-screen plugin says what it cannot do each time a window appears: nobody needs to know.
void print_message(QtMsgType, const QMessageLogContext&, const QString& message) {
  if (message.startsWith(QLatin1String("This plugin does not support"))) return;
  std::fprintf(stderr, "%s\n", qPrintable(message));
}

/// Qt aborts without a display and complains without a runtime folder: a server has neither.
void prepare_headless(QTemporaryDir& runtime) {
  if (!qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
  QLoggingCategory::setFilterRules(QStringLiteral("qt.qpa.*=false\nqt.text.font.*=false"));
  qInstallMessageHandler(print_message);
  if (!qEnvironmentVariableIsSet("XDG_RUNTIME_DIR")) qputenv("XDG_RUNTIME_DIR", runtime.path().toLocal8Bit());
}

/// An empty name is no file, and not the same as none either.
[[noreturn]] void refuse(const QString& what) {
  std::fprintf(stderr, "expertscope: %s: the name is empty\n", qPrintable(what));
  std::exit(2);
}

struct Arguments {
  QString path;         ///< model folder or trace; empty: start page
  QString headless_to;  ///< output folder of the headless demonstration; empty: an ordinary window
  QString settings;     ///< settings file; empty: the person's
  bool reset = false;
};

Arguments parse(const QApplication& application) {
  QCommandLineParser parser;
  parser.setApplicationDescription(
      QObject::tr("Watch, edit and measure the routing of mixture-of-experts models"));
  parser.addHelpOption();
  parser.addVersionOption();
  const QCommandLineOption headless(
      QStringLiteral("headless-demo"),
      QObject::tr("Generate, edit, compare and export without a display; results go to <folder>"),
      QStringLiteral("folder"));
  const QCommandLineOption settings(QStringLiteral("settings"), QObject::tr("Use this settings file"),
                                    QStringLiteral("file"));
  const QCommandLineOption reset(QStringLiteral("reset-settings"),
                                 QObject::tr("Forget settings and window layout"));
  parser.addOptions({headless, settings, reset});
  parser.addPositionalArgument(QStringLiteral("path"), QObject::tr("Model folder or trace"),
                               QStringLiteral("[path]"));
  parser.process(application);
  for (const QCommandLineOption& option : {headless, settings}) {
    if (parser.isSet(option) && parser.value(option).isEmpty()) refuse(option.names().first());
  }
  const QStringList paths = parser.positionalArguments();
  if (!paths.isEmpty() && paths.first().isEmpty()) refuse(QStringLiteral("path"));
  return {paths.value(0), parser.value(headless), parser.value(settings), parser.isSet(reset)};
}

int run(int argc, char** argv) {
  std::optional<QTemporaryDir> runtime;
  if (is_headless(argc, argv)) prepare_headless(runtime.emplace());
  QApplication application(argc, argv);
  expertscope::use_plain_numbers();
  QCoreApplication::setOrganizationName(QStringLiteral("expertscope"));
  QCoreApplication::setApplicationName(QStringLiteral("expertscope"));
  QCoreApplication::setApplicationVersion(QStringLiteral(EXPERTSCOPE_VERSION));
  expertscope::install_style();
  QApplication::setWindowIcon(QIcon(QStringLiteral(":/icons/expertscope.svg")));
  const Arguments arguments = parse(application);
  if (!arguments.headless_to.isEmpty())
    return expertscope::run_headless_demo(arguments.headless_to, arguments.path);

  QSettings settings(arguments.settings.isEmpty() ? QSettings().fileName() : arguments.settings,
                     QSettings::IniFormat);
  if (arguments.reset) settings.clear();
  const expertscope::ProgramPaths paths = expertscope::find_program_paths();
  expertscope::Workbench workbench(paths, settings);
  expertscope::MainWindow window(workbench);
  window.show();
  if (!arguments.path.isEmpty()) workbench.open(arguments.path);
  return QApplication::exec();
}

}  // namespace

int main(int argc, char** argv) {
  expertscope::guard_standard_streams();
  expertscope::install_fault_handling(&expertscope::Recorder::close_all);
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    expertscope::write_error("out of memory");
  } catch (const std::exception& error) {
    expertscope::write_error(error.what());
  }
  return 1;
}
