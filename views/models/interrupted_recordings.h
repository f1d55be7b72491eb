// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QObject>
#include <QSettings>
#include <QString>
#include <filesystem>
#include <vector>

#include "engine/error.h"
#include "probes/store/run_info.h"
#include "views/models/job_runner.h"

namespace expertscope {

/// A live recording whose program ended while it recorded.
struct InterruptedRecording {
  std::filesystem::path file;
  RunInfo run;              ///< the newest run that was interrupted
  int runs = 0;             ///< of the file that have tokens
  std::int64_t tokens = 0;  ///< of those runs
};

/// "“In the beginning”, demo, today 15:36": which recording it is.
QString recording_name(const InterruptedRecording& recording);
/// "812 tokens in 2 runs are safe. ...": what is left of it.
QString recording_state(const InterruptedRecording& recording);

/// The live recordings that ended with their program, for the next start to offer. What a person has answered
/// for is kept in the settings and not offered again.
class InterruptedRecordings final : public QObject {
  Q_OBJECT
 public:
  /// `settings` is not owned and outlives this object.
  InterruptedRecordings(std::filesystem::path folder, QSettings& settings, QObject* parent = nullptr);

  /// Looks through the folder, in a worker; ends in changed() when it found any.
  void look();
  /// Newest first.
  const std::vector<InterruptedRecording>& list() const { return list_; }

  /// Was opened: not offered again, the file stays.
  void answer(const std::filesystem::path& file);
  /// Not now: offered at the next start.
  void postpone(const std::filesystem::path& file);
  /// Deletes the recording for good. Where that fails it is offered again at the next start.
  void discard(const std::filesystem::path& file);

 Q_SIGNALS:
  void changed();

 private:
  void drop(const std::filesystem::path& file);

  std::filesystem::path folder_;
  QSettings& settings_;
  JobRunner runner_;
  std::vector<InterruptedRecording> list_;
};

}  // namespace expertscope
