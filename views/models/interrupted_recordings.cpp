// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/interrupted_recordings.h"

#include <QDateTime>
#include <QDir>
#include <QFile>
#include <algorithm>

#include "probes/store/trace_reader.h"
#include "views/models/live_traces.h"
#include "views/models/plain_text.h"
#include "views/models/unanswered_recordings.h"

namespace expertscope {
namespace {

const QString kAnswered = QStringLiteral("recordings/answered");
const QString kLook = QStringLiteral("interrupted recordings");

QString file_name(const std::filesystem::path& file) {
  return QString::fromStdString(file.filename().string());
}

/// What a file holds of runs that were interrupted; no tokens where it holds none, or cannot be read.
InterruptedRecording examine(const std::filesystem::path& file) {
  InterruptedRecording recording;
  recording.file = file;
  const auto reader = TraceReader::open(file);
  if (!reader) return recording;
  const auto runs = (*reader)->runs();
  if (!runs) return recording;
  for (const RunInfo& run : *runs) {
    if (run.tokens == 0) continue;
    ++recording.runs;
    recording.tokens += run.tokens;
    if (run.status == "interrupted") recording.run = run;
  }
  if (recording.run.id == 0) recording.tokens = 0;
  return recording;
}

std::vector<InterruptedRecording> find(const std::filesystem::path& folder, const QStringList& answered,
                                       const std::stop_token& stop) {
  std::vector<InterruptedRecording> found;
  for (const QString& name : live_traces(folder)) {
    if (stop.stop_requested()) break;
    if (answered.contains(name)) continue;
    InterruptedRecording recording = examine(folder / name.toStdString());
    if (recording.tokens > 0) found.push_back(std::move(recording));
  }
  return found;
}

/// "today 15:36", "2026-11-24 09:12".
QString when(const std::string& started_at) {
  const QDateTime started =
      QDateTime::fromString(QString::fromStdString(started_at), Qt::ISODate).toLocalTime();
  if (!started.isValid()) return visible(started_at);
  const bool today = started.date() == QDate::currentDate();
  return today ? QObject::tr("today %1").arg(started.toString(QStringLiteral("HH:mm")))
               : started.toString(QStringLiteral("yyyy-MM-dd HH:mm"));
}

}  // namespace

std::function<bool(const std::filesystem::path&)> unanswered_recordings(const QSettings& settings) {
  return [answered = settings.value(kAnswered).toStringList()](const std::filesystem::path& file) {
    return !answered.contains(file_name(file)) && examine(file).tokens > 0;
  };
}

QString recording_name(const InterruptedRecording& recording) {
  const RunInfo& run = recording.run;
  const bool cut = run.prompt.size() > run.dataset.size();
  // In one go: a prompt may contain "%1" itself.
  return QObject::tr("“%1”, %2, %3")
      .arg(
          visible(QString::fromStdString(run.dataset).simplified()) + (cut ? QStringLiteral("…") : QString()),
          visible(run.model.name), when(run.started_at));
}

QString recording_state(const InterruptedRecording& recording) {
  const QString tokens =
      recording.tokens == 1 ? QObject::tr("1 token") : QObject::tr("%1 tokens").arg(recording.tokens);
  const QString runs =
      recording.runs == 1 ? QObject::tr("1 run") : QObject::tr("%1 runs").arg(recording.runs);
  const QString safe =
      recording.tokens == 1 ? QObject::tr("%1 in %2 is safe.") : QObject::tr("%1 in %2 are safe.");
  return safe.arg(tokens, runs) + QLatin1Char(' ') +
         QObject::tr("What was not yet written, less than a second, is lost.");
}

InterruptedRecordings::InterruptedRecordings(std::filesystem::path folder, QSettings& settings,
                                             QObject* parent)
    : QObject(parent), folder_(std::move(folder)), settings_(settings), runner_(this) {}

void InterruptedRecordings::look() {
  using Found = std::vector<InterruptedRecording>;
  QStringList answered = settings_.value(kAnswered).toStringList();
  runner_.run<Found>(
      kLook, tr("Looking for interrupted recordings"),
      [folder = folder_, answered](const JobContext& context) -> Result<Found> {
        return find(folder, answered, context.stop);
      },
      [this](Result<Found> found) {
        if (!found || found->empty()) return;
        list_ = std::move(*found);
        Q_EMIT changed();
      });
}

void InterruptedRecordings::drop(const std::filesystem::path& file) {
  const auto removed =
      std::erase_if(list_, [&](const InterruptedRecording& recording) { return recording.file == file; });
  if (removed > 0) Q_EMIT changed();
}

void InterruptedRecordings::answer(const std::filesystem::path& file) {
  const bool offered = std::any_of(list_.begin(), list_.end(), [&](const InterruptedRecording& recording) {
    return recording.file == file;
  });
  if (!offered) return;
  QStringList answered = settings_.value(kAnswered).toStringList();
  answered.removeAll(file_name(file));
  const QStringList present = live_traces(folder_);
  answered.removeIf([&](const QString& name) { return !present.contains(name); });
  answered.prepend(file_name(file));
  settings_.setValue(kAnswered, answered);
  drop(file);
}

void InterruptedRecordings::postpone(const std::filesystem::path& file) {
  drop(file);
}

void InterruptedRecordings::discard(const std::filesystem::path& file) {
  remove_live_trace(file);
  drop(file);
}

}  // namespace expertscope
