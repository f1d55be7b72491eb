// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace expertscope::simt {

/// OS threads that stay: a fiber must go on where it began, for what it keeps in thread_local variables.
class Crew {
 public:
  Crew() = default;
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// Calls job(0) here and job(1) to job(members - 1) on other threads, and returns when all have returned.
  void run(int members, const std::function<void(int)>& job);

 private:
  void work(int member, unsigned seen);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::thread> threads_;
  const std::function<void(int)>* job_ = nullptr;
  int members_ = 0;  // of the job in progress
  unsigned jobs_ = 0;
  int busy_ = 0;
  bool stopping_ = false;
};

}  // namespace expertscope::simt
