// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

namespace expertscope::cli {

/// Receives Ctrl-C (SIGINT) and SIGTERM. They end the program at once, with exit code 130, unless there is
/// something to close first: see GracefulStop. Construct it before any other thread starts.
class InterruptWatcher {
 public:
  InterruptWatcher();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  bool interrupted() const { return source_.stop_requested(); }

 private:
  friend class GracefulStop;
  void watch();

  std::stop_source source_;
  sigset_t signals_;
  std::atomic<int> graceful_ = 0;  ///< GracefulStops that exist
  std::atomic<bool> finished_ = false;
  std::thread thread_;
};

/// While one exists, the first Ctrl-C or SIGTERM only asks to stop; the second still ends the program. For
/// work that writes a recording or a file and looks at the token between two steps: what neither writes nor
/// looks must not hold the signal back.
class GracefulStop {
 public:
  explicit GracefulStop(InterruptWatcher& watcher) : watcher_(watcher) { ++watcher_.graceful_; }
  ~GracefulStop() { --watcher_.graceful_; }
  GracefulStop(const GracefulStop&) = delete;
  GracefulStop& operator=(const GracefulStop&) = delete;

  std::stop_token token() const { return watcher_.source_.get_token(); }

 private:
  InterruptWatcher& watcher_;
};

}  // namespace expertscope::cli
