// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QHash>
#include <QObject>
#include <QString>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "engine/error.h"

namespace expertscope {

/// What a job sees of the outside while it runs on the worker thread.
struct JobContext {
  std::stop_token stop;
  /// Shown to the person, at most some ten times a second, and the newest always while the job runs.
  /// `fraction` in [0, 1]; negative: not known.
  std::function<void(const QString& what, double fraction)> report;
};

/// Runs jobs one after another on one worker thread and delivers each result to the thread the runner lives
/// in, by one queued call. A newer job of the same channel replaces an older one: what is queued is
/// forgotten, what runs is asked to stop, and its late result is dropped. What is forgotten or dropped is
/// destroyed on the worker thread: giving back what it holds may take time.
class JobRunner final : public QObject {
  Q_OBJECT
 public:
  using JobId = quint64;

  explicit JobRunner(QObject* parent = nullptr);
  /// Asks the running job to stop and waits for it; nothing is delivered any more.
  ~JobRunner() override;

  /// `work` runs on the worker thread, `done` on this object's thread. A job that was cancelled before it
  /// started delivers ErrorCode::cancelled.
  template <class T>
  JobId run(const QString& channel, const QString& label, std::function<Result<T>(const JobContext&)> work,
            std::function<void(Result<T>)> done) {
    return enqueue(
        channel, label, [work = std::move(work), done = std::move(done)](const JobContext& context) {
          auto result = std::make_shared<Result<T>>(context.stop.stop_requested()
                                                        ? Result<T>(fail(ErrorCode::cancelled, "cancelled"))
                                                        : guarded(work, context));
          return [result, done] { done(std::move(*result)); };
        });
  }

  /// Asks the job to stop; it still delivers its result (usually ErrorCode::cancelled).
  void cancel(const QString& channel);
  void cancel_all();
  /// Asks the job to stop and forgets it: the channel is free at once, and nothing of it arrives any more.
  void abandon(const QString& channel);
  /// Destroys it on the worker thread, after the job that runs and before the next one.
  void dispose(std::shared_ptr<void> thing);
  /// True from run() until the delivery of the newest job of the channel.
  bool is_busy(const QString& channel) const { return newest_.contains(channel); }

 Q_SIGNALS:
  void started(const QString& channel, const QString& label);
  void progressed(const QString& channel, const QString& what, double fraction);
  /// After the delivery of the newest job of a channel.
  void finished(const QString& channel);

 private:
  /// What the standard library throws on the worker thread would end the program.
  template <class T>
  static Result<T> guarded(const std::function<Result<T>(const JobContext&)>& work,
                           const JobContext& context) {
    try {
      return work(context);
    } catch (const std::bad_alloc&) {
      return fail(ErrorCode::out_of_memory, "there is not enough memory for this");
    } catch (const std::exception& error) {
      return fail(ErrorCode::io, "{}", error.what());
    }
  }

  using Delivery = std::function<void()>;
  class Progress;
  struct Job {
    JobId id = 0;
    QString channel;
    QString label;
    std::function<Delivery(const JobContext&)> work;
    std::stop_source stop;
  };

  JobId enqueue(const QString& channel, const QString& label,
                std::function<Delivery(const JobContext&)> work);
  void work_loop(const std::stop_token& stop);
  void run_job(const Job& job);
  void tell(JobId id, const QString& channel, const QString& what, double fraction);
  void deliver(JobId id, const QString& channel, Delivery delivery);

  QHash<QString, JobId> newest_;  ///< this object's thread only
  JobId next_id_ = 1;

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Job> queue_;
  std::vector<std::shared_ptr<void>> unwanted_;
  std::optional<Job> running_;
  std::jthread worker_;
};

}  // namespace expertscope
