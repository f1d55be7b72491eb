// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <atomic>
#include <csignal>
#include <stop_token>
#include <thread>

namespace expertscope::cli {

/// Turns the first Ctrl-C (SIGINT) or SIGTERM into a stop request, so that a recording is closed properly;
/// the second ends the process at once. Construct it before any other thread starts.
class InterruptWatcher {
 public:
  InterruptWatcher();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  bool interrupted() const { return source_.stop_requested(); }

 private:
  void watch();

  std::stop_source source_;
  sigset_t signals_;
  std::atomic<bool> finished_ = false;
  std::thread thread_;
};

}  // namespace expertscope::cli
