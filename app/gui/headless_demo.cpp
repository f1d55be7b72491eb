// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/gui/headless_demo.h"

#include <QAction>
#include <QApplication>
#include <QBuffer>
#include <QDir>
#include <QElapsedTimer>
#include <QFileInfo>
#include <QPushButton>
#include <QSettings>
#include <QTemporaryDir>
#include <algorithm>
#include <cstdio>
#include <functional>

#include "app/gui/program_paths.h"
#include "engine/formats/output_file.h"
#include "views/models/workbench.h"
#include "views/widgets/compare_view.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/prompt_bar.h"
#include "views/window/main_window.h"

namespace expertscope {
namespace {

constexpr int kOpenLimit = 60'000;       // milliseconds
constexpr int kGenerateLimit = 300'000;  // milliseconds
constexpr int kCompareLimit = 600'000;   // milliseconds
constexpr int kTokens = 160;
constexpr int kTokensBeforeEdit = 50;
constexpr float kTemperature = 0.7f;
// What a run leaves; pictures of an earlier one would be taken for this one's.
const QStringList kResults{QStringLiteral("report.html"), QStringLiteral("trace.db"),
                           QStringLiteral("window-*.png")};
constexpr int kPace = 25;  // tokens a second: slow enough to edit in between

/// One person at one window, step by step; the first step that fails ends it.
class Demonstration {
 public:
  Demonstration(const QDir& folder, ProgramPaths paths, QSettings& settings)
      : folder_(folder), workbench_(std::move(paths), settings), window_(workbench_) {
    QObject::connect(&workbench_, &Workbench::failed,
                     [this](const Error& error) { error_ = QString::fromStdString(error.message); });
    window_.resize(1440, 920);
    window_.show();
  }

  int run(const QString& path) {
    // A trace has no model: there is nothing to generate, edit or compare.
    const bool trace = QFileInfo(path).isFile();
    const bool done = trace ? start(path, Workbench::Content::trace) && look_at_busiest() && look_around() &&
                                  export_results()
                            : start(path, Workbench::Content::model) && generate_and_edit() && compare() &&
                                  look_around() && export_results() && reopen();
    if (done) {
      for (const QString& name : folder_.entryList(kResults, QDir::Files, QDir::Name)) {
        std::printf("%s\n", qPrintable(folder_.absoluteFilePath(name)));
      }
      if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
      error_ = QStringLiteral("standard output: cannot write");
    }
    std::fprintf(stderr, "expertscope: %s\n",
                 qPrintable(error_.isEmpty() ? step_ + ": no answer in time" : error_));
    return 1;
  }

 private:
  bool start(const QString& path, Workbench::Content content) {
    step_ = QStringLiteral("opening %1").arg(path.isEmpty() ? QStringLiteral("the demo model") : path);
    settle();
    if (!shoot(QStringLiteral("start"))) return false;
    if (path.isEmpty()) {
      window_.commands().open_demo->trigger();
    } else {
      workbench_.open(path);
    }
    return wait([this, content] { return workbench_.content() == content; }, kOpenLimit);
  }

  bool generate_and_edit() {
    step_ = QStringLiteral("generating");
    auto* bar = window_.findChild<PromptBar*>();
    PromptRequest request = bar->request();
    request.prompt = "In the beginning";
    request.options.max_tokens = kTokens;
    request.options.sampling.temperature = kTemperature;
    request.tokens_per_second = kPace;
    bar->set_request(request);
    bar->generate_button().click();
    const bool filled = wait(
        [this] { return recorded() >= kTokensBeforeEdit || (finished() && recorded() > 0); }, kGenerateLimit);
    if (!filled) return false;
    workbench_.selection().set_cell(busiest());
    if (!wait([this] { return workbench_.view()->expert != nullptr; }, kOpenLimit)) return false;
    if (!shoot(QStringLiteral("generating"))) return false;
    step_ = QStringLiteral("pruning an expert");
    window_.expert_actions().prune(PruneMode::mask)->trigger();
    if (workbench_.edits().rowCount() != 1) return false;
    step_ = QStringLiteral("finishing the generation");
    if (!wait([this] { return finished() && workbench_.view()->run->run.status != "recording"; },
              kGenerateLimit)) {
      return false;
    }
    return shoot(QStringLiteral("edited"));
  }

  bool compare() {
    step_ = QStringLiteral("comparing");
    const QDir texts(QString::fromStdString(workbench_.paths().demo_texts.string()));
    const QString text = texts.absoluteFilePath(QStringLiteral("english.txt"));
    if (!workbench_.paths().demo_texts.empty() && QFileInfo::exists(text))
      window_.findChild<CompareView*>()->set_text(text);
    window_.commands().compare->trigger();
    if (!wait([this] { return workbench_.engine().comparison() != nullptr; }, kCompareLimit)) return false;
    return shoot(QStringLiteral("compare"));
  }

  bool look_around() {
    step_ = QStringLiteral("looking at the outliers");
    window_.show_view(QStringLiteral("outliers"));
    window_.commands().metrics.last()->trigger();
    const auto tokens = workbench_.view()->tokens;
    if (!tokens->tokens.empty())
      workbench_.selection().set_token(tokens->tokens[tokens->tokens.size() / 2].index);
    if (!wait([this] { return workbench_.view()->token != nullptr; }, kOpenLimit)) return false;
    return shoot(QStringLiteral("outliers"));
  }

  bool export_results() {
    step_ = QStringLiteral("exporting");
    QObject done;  // ends the connection with this step
    int saved = 0;
    QObject::connect(&workbench_, &Workbench::saved, &done, [&saved] { ++saved; });
    const QFileInfo trace(folder_.absoluteFilePath(QStringLiteral("trace.db")));
    const bool is_open = QFileInfo(QString::fromStdString(workbench_.trace().file().string())) == trace;
    workbench_.export_report(folder_.absoluteFilePath(QStringLiteral("report.html")));
    if (!is_open) workbench_.save_trace_as(trace.absoluteFilePath());
    return wait([&] { return saved == (is_open ? 1 : 2); }, kOpenLimit);
  }

  /// The trace alone shows the same views, without its model.
  bool reopen() {
    step_ = QStringLiteral("opening the trace");
    workbench_.open(folder_.absoluteFilePath(QStringLiteral("trace.db")));
    if (!wait([this] { return workbench_.content() == Workbench::Content::trace; }, kOpenLimit)) return false;
    return look_at_busiest();
  }

  bool look_at_busiest() {
    if (!wait([this] { return workbench_.view() && workbench_.view()->run; }, kOpenLimit)) return false;
    workbench_.selection().set_cell(busiest());
    if (!wait([this] { return workbench_.view()->expert != nullptr; }, kOpenLimit)) return false;
    return shoot(QStringLiteral("trace"));
  }

  bool finished() { return workbench_.engine().state() == EngineState::ready; }
  std::int64_t recorded() {
    const auto view = workbench_.view();
    return view && view->run ? view->run->run.tokens : 0;
  }

  /// The expert with the largest share of its layer.
  Cell busiest() {
    Cell best;
    double share = -1;
    for (const LayerLoad& layer : workbench_.view()->run->load.layers) {
      const auto top = std::max_element(layer.share.begin(), layer.share.end());
      if (top == layer.share.end() || *top <= share) continue;
      share = *top;
      best = {layer.layer, static_cast<int>(top - layer.share.begin())};
    }
    return best;
  }

  /// Runs the event loop until the condition holds; false on an error or when it took too long.
  bool wait(const std::function<bool()>& condition, int limit) {
    QElapsedTimer timer;
    timer.start();
    while (error_.isEmpty() && timer.elapsed() < limit) {
      if (condition()) return true;
      QApplication::processEvents(QEventLoop::AllEvents, 50);
    }
    return false;
  }

  /// Lets layouts and repaints finish.
  static void settle() {
    for (int i = 0; i < 5; ++i) {
      QApplication::processEvents(QEventLoop::AllEvents, 50);
    }
  }

  bool shoot(const QString& name) {
    settle();
    const QString file = folder_.absoluteFilePath(QStringLiteral("window-%1.png").arg(name));
    QBuffer picture;
    window_.grab().save(&picture, "PNG");
    const Status written = write_file(file.toStdString(), picture.data().toStdString());
    if (!written) error_ = QString::fromStdString(written.error().message);
    return written.has_value();
  }

  QDir folder_;
  Workbench workbench_;
  MainWindow window_;
  QString step_;
  QString error_;
};

}  // namespace

int run_headless_demo(const QString& folder, const QString& model) {
  if (!QDir().mkpath(folder)) {
    std::fprintf(stderr, "expertscope: %s: cannot be created\n", qPrintable(folder));
    return 1;
  }
  // Neither the person's settings nor their traces are touched.
  const QTemporaryDir scratch;
  QSettings settings(scratch.filePath(QStringLiteral("settings.ini")), QSettings::IniFormat);
  ProgramPaths paths = find_program_paths();
  paths.trace_folder = scratch.path().toStdString();
  QDir results(folder);
  for (const QString& picture : results.entryList({QStringLiteral("window-*.png")}, QDir::Files)) {
    results.remove(picture);
  }
  return Demonstration(results, std::move(paths), settings).run(model);
}

}  // namespace expertscope
