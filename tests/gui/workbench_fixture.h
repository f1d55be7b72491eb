// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QSettings>
#include <QTemporaryDir>
#include <filesystem>
#include <vector>

#include "tests/gui/support.h"
#include "views/models/workbench.h"

namespace expertscope::testing {

/// A workbench on the small test models, with its own settings and its own folder for recordings.
class WorkbenchTest : public ::testing::Test {
 protected:
  WorkbenchTest() {
    settings_.setValue("prompt/pace", 0);  // as fast as the engine runs
    QObject::connect(&workbench_, &Workbench::failed, &workbench_,
                     [this](const Error& error) { errors_.push_back(error); });
    QObject::connect(&workbench_, &Workbench::saved, &workbench_,
                     [this](const QString& file) { saved_ << file; });
  }

  static std::filesystem::path source(const std::string& path) {
    return std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / path;
  }
  /// 3 layers x 16 experts, top-8, with a tokenizer and ChatML.
  static QString model() { return QString::fromStdString(source("tests/data/models/top8").string()); }
  QString file(const QString& name) const { return folder_.filePath(name); }

  void open_model(const QString& folder = model()) {
    workbench_.open(folder);
    const bool opened = wait_until([this] { return workbench_.content() == Workbench::Content::model; });
    require(opened, "the model did not open: " + first_error());
  }
  static PromptRequest prompt(const std::string& text = "In the beginning", int tokens = 12) {
    PromptRequest request;
    request.prompt = text;
    request.options.max_tokens = tokens;
    request.options.stop_at_eos = false;
    return request;
  }
  /// Runs a prompt to its end and waits for the recording to be shown.
  void generate(const PromptRequest& request = prompt()) {
    const std::size_t runs = runs_seen();
    workbench_.generate(request);
    const bool done = wait_until([&] { return runs_seen() > runs && finished_run(); });
    require(done, "the generation did not end: " + first_error());
  }
  std::size_t runs_seen() const { return workbench_.view() ? workbench_.view()->runs->size() : 0; }
  bool finished_run() {
    const auto view = workbench_.view();
    return workbench_.engine().state() == EngineState::ready && view && view->run &&
           view->run->run.status != "recording";
  }
  std::string first_error() const { return errors_.empty() ? "no error" : errors_.front().message; }

  QTemporaryDir folder_;
  QSettings settings_{folder_.filePath("settings.ini"), QSettings::IniFormat};
  Workbench workbench_{{source("tests/data/models/top8"), source("resources/demo/texts"),
                        std::filesystem::path(folder_.filePath("traces").toStdString())},
                       settings_};
  std::vector<Error> errors_;
  QStringList saved_;
};

}  // namespace expertscope::testing
