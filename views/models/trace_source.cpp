// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/trace_source.h"

#include <stop_token>

namespace expertscope {
namespace {

const QString kOpen = QStringLiteral("open trace");
const QString kRead = QStringLiteral("read trace");
constexpr int kPollInterval = 150;  // milliseconds: the recorder commits every 250

}  // namespace

TraceSource::TraceSource(QObject* parent) : QObject(parent), runner_(this) {
  poll_.setInterval(kPollInterval);
  connect(&poll_, &QTimer::timeout, this, [this] {
    if (!runner_.is_busy(kRead)) read_now();
  });
}

void TraceSource::open(const std::filesystem::path& file) {
  Q_EMIT opening(QString::fromStdString(file.string()));
  runner_.run<std::shared_ptr<TraceReader>>(
      kOpen, tr("Opening %1").arg(QString::fromStdString(file.filename().string())),
      [file](const JobContext& context) -> Result<std::shared_ptr<TraceReader>> {
        auto reader = TraceReader::open(file);
        if (context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
        if (!reader) return forward_error(reader);
        return std::shared_ptr<TraceReader>(std::move(*reader));
      },
      [this, file](Result<std::shared_ptr<TraceReader>> reader) {
        if (reader) {
          install(std::move(*reader), file);
        } else if (reader.error().code != ErrorCode::cancelled) {
          Q_EMIT failed(reader.error(), Task::open);
        }
        Q_EMIT opening_ended();
      });
}

void TraceSource::cancel_open() {
  if (!runner_.is_busy(kOpen)) return;
  runner_.abandon(kOpen);
  Q_EMIT opening_ended();
}

void TraceSource::install(std::shared_ptr<TraceReader> reader, const std::filesystem::path& file) {
  reader_ = std::move(reader);
  file_ = file;
  view_.reset();
  query_ = TraceQuery{};
  Q_EMIT opened(QString::fromStdString(file.string()));
  read_now();
}

void TraceSource::close() {
  if (!is_open()) return;
  poll_.stop();
  runner_.cancel_all();
  reader_.reset();
  file_.clear();
  view_.reset();
  query_ = TraceQuery{};
  Q_EMIT closed();
}

void TraceSource::set_query(const TraceQuery& query) {
  query_ = query;
  if (is_open()) read_now();
}

void TraceSource::set_following(bool following) {
  if (following) {
    poll_.start();
  } else {
    poll_.stop();
  }
}

void TraceSource::refresh() {
  if (is_open()) read_now();
}

void TraceSource::read_now() {
  if (!reader_) return;
  runner_.run<TraceView>(
      kRead, tr("Reading the trace"),
      [reader = reader_, query = query_, previous = view_](const JobContext& context) -> Result<TraceView> {
        const std::stop_callback interrupt(context.stop, [&reader] { reader->interrupt(); });
        if (context.stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
        return read_trace_view(*reader, query, previous.get());
      },
      [this](Result<TraceView> view) {
        if (!is_open()) return;
        if (!view) {
          if (view.error().code != ErrorCode::cancelled) Q_EMIT failed(view.error(), Task::read);
          return;
        }
        view_ = std::make_shared<const TraceView>(std::move(*view));
        Q_EMIT view_changed();
      });
}

}  // namespace expertscope
