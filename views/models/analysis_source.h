// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QString>
#include <memory>
#include <optional>

#include "probes/analysis/analysis.h"
#include "views/models/job_runner.h"

namespace expertscope {

class Subject;

/// One analysis of a run, for one view: runs in a worker while the view can be seen, again when run,
/// range or options are others, and is stopped when they change meanwhile. What it says stays until the next
/// answer is there.
class AnalysisSource final : public QObject {
  Q_OBJECT
 public:
  /// `subject` outlives this object.
  explicit AnalysisSource(Subject& subject, QObject* parent = nullptr);

  /// Options that are not named keep their standard values. `run`: all of that one; 0: what is shown of the
  /// shown one.
  void ask(const std::string& id, std::vector<std::pair<std::string, Value>> options = {},
           std::int64_t run = 0);
  /// Whatever domain is selected, all of them count: for what holds one against the others.
  void count_all_domains() { all_domains_ = true; }
  /// Asks for nothing: no view shows it.
  void rest();

  /// The newest answer; null while there is none. It may be to what was asked before.
  std::shared_ptr<const AnalysisResult> result() const { return result_; }
  /// Whether it is to what is asked now; the run may have grown since.
  bool is_current() const;
  /// Why there is none; empty while it is being computed.
  QString problem() const { return problem_; }

 Q_SIGNALS:
  void changed();

 private:
  struct Request;
  struct Reading;
  void read();
  std::optional<Request> wanted() const;
  void forget();

  Subject& subject_;
  JobRunner runner_;
  std::string id_;  ///< empty: nothing is asked for
  std::vector<std::pair<std::string, Value>> options_;
  std::int64_t run_ = 0;
  bool all_domains_ = false;
  std::shared_ptr<Reading> reading_;  ///< the worker's: an open trace with what was read of a run
  std::shared_ptr<const Request> asked_;
  std::shared_ptr<const Request> answered_;
  std::shared_ptr<const AnalysisResult> result_;
  QString problem_;
};

}  // namespace expertscope
