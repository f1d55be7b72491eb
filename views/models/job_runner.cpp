// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/job_runner.h"

#include <QElapsedTimer>
#include <algorithm>

namespace expertscope {

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
  JobContext context;
  context.stop = job.stop.get_token();
  context.report = [this, &job, &since_report](const QString& what, double fraction) {
    constexpr qint64 kReportInterval = 60;  // milliseconds: a person cannot read faster
    if (since_report.isValid() && since_report.elapsed() < kReportInterval && fraction < 1.0) return;
    since_report.start();
    QMetaObject::invokeMethod(
        this, [this, channel = job.channel, what, fraction] { Q_EMIT progressed(channel, what, fraction); },
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
