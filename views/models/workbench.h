// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "views/models/backend_setting.h"
#include "views/models/interrupted_recordings.h"
#include "views/models/recent_files.h"
#include "views/models/subject.h"

namespace expertscope {

/// Where the program finds and keeps things; decided by main(), isolated in tests.
struct ProgramPaths {
  std::filesystem::path demo_model;    ///< folder; empty: none was found
  std::filesystem::path demo_texts;    ///< folder of held-out texts; empty: none
  std::filesystem::path trace_folder;  ///< live recordings go here
};

/// What one window works on: a model or a trace, its edits, and what is selected. Holds the parts and the
/// rules between them; no widgets. Views know it as a Subject.
class Workbench final : public Subject {
  Q_OBJECT
 public:
  /// `settings` is not owned and outlives this object.
  Workbench(ProgramPaths paths, QSettings& settings, QObject* parent = nullptr);

  Selection& selection() override { return selection_; }
  RoutingEdits& edits() override { return edits_; }
  RunListModel& runs() override { return runs_; }
  ExpertTableModel& table() override { return table_; }
  QSettings& settings() override { return settings_; }
  const EngineController& engine() const override { return engine_; }
  const TraceSource& trace() const override { return trace_; }
  RecentFiles& recent() { return recent_; }
  BackendSetting& backend() { return backend_; }
  InterruptedRecordings& interrupted() { return interrupted_; }
  const ProgramPaths& paths() const { return paths_; }

  Content content() const override { return content_; }
  /// "demo | qwen3_moe | 6 layers x 16 experts, top-2 | CPU bf16"; empty without content.
  QString summary() const;
  /// A tooltip for it: what runs, or ran, and why there; empty without content.
  QString summary_details() const;
  std::shared_ptr<const ExpertTable> expert_table() const override;
  EditMarks marks() const override;
  EditMarks run_marks() const override;
  const std::filesystem::path& sample_texts() const override { return paths_.demo_texts; }

  /// A model folder (or a file inside one) or a trace.
  void open(const QString& path);
  void open_demo();
  /// Opens a recording that was interrupted, which is not offered again.
  void open_interrupted(const std::filesystem::path& file);
  void cancel_open();
  void close();
  /// Gives the open model the backend of the setting; edits and recordings stay.
  void move_to_setting();
  /// After failed_on_gpu(): what it names can be done on the CPU, whatever the setting says.
  void open_on_cpu(const QString& folder);
  void move_to_cpu();

  void generate(const PromptRequest& request) override;
  void compare(ComparisonRequest request) override;
  void stop() override { engine_.stop(); }
  /// Ends in failed() where the run is still being recorded or is not there.
  void delete_run(std::int64_t run) override;

  // Files: in a worker; each ends in saved() or failed().
  void export_report(const QString& file);
  void export_table_csv(const QString& file);
  void export_table_json(const QString& file);
  void save_trace_as(const QString& file);
  void save_policy(const QString& file);
  void load_policy(const QString& file);
  /// Bytes a view rendered (a picture).
  void save_bytes(const QString& file, const QByteArray& bytes);

 Q_SIGNALS:
  void opening(const QString& what);
  void opening_progressed(const QString& what, double fraction);
  void opening_ended();
  void saved(const QString& file);
  void failed(const expertscope::Error& error, expertscope::Task task);
  /// After failed(): EngineController::failed_on_gpu().
  void failed_on_gpu(const expertscope::Error& error, expertscope::GpuFailure failure, const QString& folder);
  /// The open model has another backend.
  void moved(const QString& backend);
  /// The setting names another backend than the one that runs the open model.
  void move_offered();
  /// What the model's files leave open or this program does otherwise, a line each.
  void warned(const QString& messages);
  /// EngineController::waits_for_trace() and goes_on().
  void waits_for_trace(const QString& message);
  void goes_on(const QString& message);

 private:
  void connect_engine();
  void open_model(const std::filesystem::path& folder);
  void connect_trace();
  void set_content(Content content);
  void query();
  /// First token of the strip for the selected token: the page shown now when it is on it. -1: the last page.
  std::int64_t wanted_page() const;
  void use_model();
  using Done = std::function<void()>;
  void save_in_worker(const QString& file, const QString& what, std::function<Status()> save,
                      const Done& done = {});
  void write_in_worker(const QString& file, std::function<Result<std::string>()> make, const Done& done = {});

  ProgramPaths paths_;
  QSettings& settings_;
  Selection selection_;
  RoutingEdits edits_;
  EngineController engine_;
  TraceSource trace_;
  RunListModel runs_;
  ExpertTableModel table_;
  RecentFiles recent_;
  BackendSetting backend_;
  InterruptedRecordings interrupted_;
  JobRunner files_;
  Content content_ = Content::nothing;
  QString wanted_trace_;              ///< being opened by the person, not a live recording
  std::filesystem::path live_trace_;  ///< where generations of the open model go
  std::shared_ptr<const ExpertTable> blank_table_;
};

}  // namespace expertscope
