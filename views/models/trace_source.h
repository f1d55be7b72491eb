// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QTimer>
#include <filesystem>
#include <memory>

#include "views/models/job_runner.h"
#include "views/models/task.h"
#include "views/models/trace_view.h"

namespace expertscope {

/// Reads one trace file on a worker thread and keeps the newest answer to the newest query. One path for
/// stored and live traces: while following, the same query is asked again every 150 ms.
class TraceSource final : public QObject {
  Q_OBJECT
 public:
  explicit TraceSource(QObject* parent = nullptr);

  /// Opens a file; the old one stays until the new one is there. Ends in opened() or failed(), then in
  /// opening_ended().
  void open(const std::filesystem::path& file);
  /// Ends it at once, in opening_ended() alone.
  void cancel_open();
  void close();
  bool is_open() const { return reader_ != nullptr; }
  /// The open file; empty when none is.
  const std::filesystem::path& file() const { return file_; }

  /// What the views want to see; asked at once when it differs from the last query.
  void set_query(const TraceQuery& query);
  /// True while a run is being recorded into the file.
  void set_following(bool following);
  /// Asks again now: something was recorded.
  void refresh();

  /// The newest answer; null before the first.
  std::shared_ptr<const TraceView> view() const { return view_; }

 Q_SIGNALS:
  void opening(const QString& file);
  void opened(const QString& file);
  void opening_ended();
  void closed();
  /// Opening or reading went wrong; on opening, what was open stays open.
  void failed(const expertscope::Error& error, expertscope::Task task);
  void view_changed();

 private:
  void read_now();
  void install(std::shared_ptr<TraceReader> reader, const std::filesystem::path& file);

  JobRunner runner_;
  std::shared_ptr<TraceReader> reader_;  ///< used by the runner's one thread only
  std::filesystem::path file_;
  TraceQuery query_;
  std::shared_ptr<const TraceView> view_;
  QTimer poll_;
};

}  // namespace expertscope
