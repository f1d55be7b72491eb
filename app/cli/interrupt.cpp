// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/interrupt.h"

#include <pthread.h>
#include <unistd.h>

namespace expertscope::cli {
namespace {

/// What a shell reports for a program that Ctrl-C ended.
constexpr int kInterruptedExit = 128 + SIGINT;

}  // namespace

// The signals are blocked in every thread and fetched by one that waits for them: no handler, no global
// state.
InterruptWatcher::InterruptWatcher() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGUSR1);  // sent by the destructor to its own thread
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { watch(); });
}

InterruptWatcher::~InterruptWatcher() {
  finished_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);
  thread_.join();
}

void InterruptWatcher::watch() {
  while (true) {
    int signal = 0;
    if (sigwait(&signals_, &signal) != 0) return;
    if (finished_) return;
    if (signal == SIGUSR1) continue;
    if (source_.stop_requested()) _exit(kInterruptedExit);
    source_.request_stop();
  }
}

}  // namespace expertscope::cli
