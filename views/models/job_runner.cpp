// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/job_runner.h"

#include <QElapsedTimer>
#include <QTimer>
#include <algorithm>
#include <utility>

namespace expertscope {
namespace {

constexpr int kReportInterval = 60;  // milliseconds: a person cannot read faster

}  // namespace

/// What a job said too soon after what it said before: kept, so that a phase that lasts is told when the
/// interval is over.
class JobRunner::Progress {
 public:
  void hold(const QString& what, double fraction) {
    const std::lock_guard lock(mutex_);
    held_ = {what, fraction};
  }
  std::optional<std::pair<QString, double>> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(held_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::optional<std::pair<QString, double>> held_;
};

JobRunner::JobRunner(QObject* parent)
    : QObject(parent), worker_([this](const std::stop_token& stop) { work_loop(stop); }) {}

JobRunner::~JobRunner() {
  cancel_all();
  worker_.request_stop();
  wake_.notify_all();
  worker_.join();
}

JobRunner::JobId JobRunner::enqueue(const QString& channel, const QString& label,
                                    std::function<Delivery(const JobContext&)> work) {
  const JobId id = next_id_++;
  newest_.insert(channel, id);
  {
    const std::lock_guard lock(mutex_);
    const auto replaced = std::stable_partition(queue_.begin(), queue_.end(),
                                                [&](const Job& job) { return job.channel != channel; });
    for (auto job = replaced; job != queue_.end(); ++job)
      unwanted_.push_back(std::make_shared<Job>(std::move(*job)));
    queue_.erase(replaced, queue_.end());
    if (running_ && running_->channel == channel) running_->stop.request_stop();
    queue_.push_back({id, channel, label, std::move(work), std::stop_source()});
  }
  wake_.notify_one();
  return id;
}

void JobRunner::cancel(const QString& channel) {
  const std::lock_guard lock(mutex_);
  for (Job& job : queue_) {
    if (job.channel == channel) job.stop.request_stop();
  }
  if (running_ && running_->channel == channel) running_->stop.request_stop();
}

void JobRunner::cancel_all() {
  const std::lock_guard lock(mutex_);
  for (Job& job : queue_) {
    job.stop.request_stop();
  }
  if (running_) running_->stop.request_stop();
}

void JobRunner::abandon(const QString& channel) {
  cancel(channel);
  newest_.remove(channel);
}

void JobRunner::dispose(std::shared_ptr<void> thing) {
  {
    const std::lock_guard lock(mutex_);
    unwanted_.push_back(std::move(thing));
  }
  wake_.notify_one();
}

void JobRunner::work_loop(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<std::shared_ptr<void>> unwanted;
    Job job;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !queue_.empty() || !unwanted_.empty(); })) return;
      unwanted.swap(unwanted_);
      if (!unwanted.empty()) continue;  // destroyed here, with the lock given back
      job = std::move(queue_.front());
      queue_.pop_front();
      running_ = job;
    }
    run_job(job);
    const std::lock_guard lock(mutex_);
    running_.reset();
  }
}

void JobRunner::run_job(const Job& job) {
  QMetaObject::invokeMethod(
      this, [this, channel = job.channel, label = job.label] { Q_EMIT started(channel, label); },
      Qt::QueuedConnection);
  QElapsedTimer since_report;
  const auto progress = std::make_shared<Progress>();
  JobContext context;
  context.stop = job.stop.get_token();
  context.report = [this, &job, &since_report, progress](const QString& what, double fraction) {
    if (since_report.isValid() && since_report.elapsed() < kReportInterval && fraction < 1.0) {
      progress->hold(what, fraction);
      return;
    }
    since_report.start();
    (void)progress->take();  // older than this
    QMetaObject::invokeMethod(
        this,
        [this, id = job.id, channel = job.channel, what, fraction, progress] {
          tell(id, channel, what, fraction);
          QTimer::singleShot(kReportInterval, this, [this, id, channel, progress] {
            if (const auto held = progress->take()) tell(id, channel, held->first, held->second);
          });
        },
        Qt::QueuedConnection);
  };
  Delivery delivery = job.work(context);
  QMetaObject::invokeMethod(
      this,
      [this, id = job.id, channel = job.channel, delivery = std::move(delivery)]() mutable {
        deliver(id, channel, std::move(delivery));
      },
      Qt::QueuedConnection);
}

void JobRunner::tell(JobId id, const QString& channel, const QString& what, double fraction) {
  if (newest_.value(channel) == id) Q_EMIT progressed(channel, what, fraction);
}

void JobRunner::deliver(JobId id, const QString& channel, Delivery delivery) {
  if (newest_.value(channel) != id) {
    dispose(std::make_shared<Delivery>(std::move(delivery)));
    return;
  }
  newest_.remove(channel);
  delivery();
  Q_EMIT finished(channel);
}

}  // namespace expertscope
