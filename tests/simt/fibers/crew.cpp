// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/simt/fibers/crew.h"

namespace expertscope::simt {

Crew::~Crew() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void Crew::run(int members, const std::function<void(int)>& job) {
  {
    const std::lock_guard lock(mutex_);
    while (static_cast<int>(threads_.size()) < members - 1) {
      const int member = static_cast<int>(threads_.size()) + 1;
      threads_.emplace_back([this, member, seen = jobs_] { work(member, seen); });
    }
    job_ = &job;
    members_ = members;
    busy_ = static_cast<int>(threads_.size());
    ++jobs_;
  }
  changed_.notify_all();
  job(0);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return busy_ == 0; });
}

void Crew::work(int member, unsigned seen) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || jobs_ != seen; });
    if (stopping_) return;
    seen = jobs_;
    if (member < members_) {
      lock.unlock();
      (*job_)(member);
      lock.lock();
    }
    if (--busy_ == 0) changed_.notify_all();
  }
}

}  // namespace expertscope::simt
