// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <string_view>

namespace expertscope::cli {
namespace {

/// What a shell reports for a program that Ctrl-C ended.
constexpr int kInterruptedExit = 128 + SIGINT;

/// Past the locks of stdio and only where it takes the text now: the thread that holds the lock may be the
/// one that waits for a reader who is gone.
void say_stopped() {
  pollfd output = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&output, 1, 0) != 1 || (output.revents & POLLOUT) == 0) return;
  // On a terminal, a line of progress may stand there.
  const std::string_view text = isatty(STDERR_FILENO) == 1 ? "\r\033[Kerror: stopped\n" : "error: stopped\n";
  if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // ending is what counts
}

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
    if (graceful_ == 0 || source_.stop_requested()) {
      say_stopped();
      _exit(kInterruptedExit);
    }
    source_.request_stop();
  }
}

}  // namespace expertscope::cli
