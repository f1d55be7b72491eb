// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/faults/faults.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

namespace expertscope {
namespace {

constexpr int kFailed = 1;
constexpr std::size_t kReserve = 1 << 20;  // large enough for malloc to give it back to the system

/// A text of bounded length, put together without memory.
class Text {
 public:
  Text& operator+=(const char* part) {
    while (*part != '\0' && length_ + 1 < sizeof(bytes_))
      bytes_[length_++] = *part++;
    bytes_[length_] = '\0';
    return *this;
  }
  const char* c_str() const { return bytes_; }

 private:
  char bytes_[4600] = {};  // a path of the longest kind, and a sentence
  std::size_t length_ = 0;
};

/// A signal handler is given nothing but the signal: what it needs is here, and so are the handlers of
/// std::terminate and of operator new.
struct State {
  sem_t wake;
  std::atomic_flag ending = ATOMIC_FLAG_INIT;
  std::atomic<bool> closer_runs{false};
  std::atomic<void*> reserve{nullptr};
  CloseRecordings close = nullptr;
  pthread_t closer;
  Text why;
};
State state;

// The thread that cannot go on stays where it is; another one closes the recordings and ends the program.
void* close_and_end(void*) {
  while (sem_wait(&state.wake) != 0 && errno == EINTR)
    continue;
  state.close(state.why.c_str());
  _exit(kFailed);
}

[[noreturn]] void end_in_order() {
  const bool can_close = state.closer_runs && pthread_equal(pthread_self(), state.closer) == 0;
  if (!can_close || sem_post(&state.wake) != 0) _exit(kFailed);
  for (;;)
    pause();
}

// The second thread that fails leaves it all to the first.
void claim_the_end() {
  if (!state.ending.test_and_set()) return;
  if (state.closer_runs && pthread_equal(pthread_self(), state.closer) != 0) _exit(kFailed);
  for (;;)
    pause();
}

void on_bus_error(int, siginfo_t* info, void*) {
  claim_the_end();
  static char path[4200];
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (mapped_file_at(address, path, sizeof(path))) {
    state.why += path;
    state.why += ": was shortened by another program while it was in use";
  } else {
    state.why += "a part of memory cannot be read any more (SIGBUS)";
  }
  write_error(state.why.c_str());
  end_in_order();
}

void on_terminate() {
  claim_the_end();
  state.why += "the program failed";
  if (const std::exception_ptr current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const std::bad_alloc&) {
      state.why = Text();
      state.why += "out of memory";
    } catch (const std::exception& error) {
      state.why += ": ";
      state.why += error.what();
    } catch (...) {
      state.why += " in an unknown way";
    }
  }
  write_error(state.why.c_str());
  end_in_order();
}

// The first time, this allocation fails, and those that follow in cleaning up find some memory.
void on_no_memory() {
  std::free(state.reserve.exchange(nullptr));
  throw std::bad_alloc();
}

// Before main(), and before what libraries do there: the first allocations come earlier than any code of
// ours.
__attribute__((constructor(101))) void end_early_in_order() {
  std::set_terminate(&on_terminate);
}

void start_closer() {
  if (sem_init(&state.wake, 0, 0) != 0) return;
  // Signals are for the others: a thread that does not block them would be the one that is interrupted.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  state.closer_runs = pthread_create(&state.closer, nullptr, close_and_end, nullptr) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

/// One line of /proc/self/maps, "BEGIN-END ... PATH", read byte by byte.
class MapsLine {
 public:
  MapsLine(std::uintptr_t address, char* path, std::size_t capacity)
      : address_(address), path_(path), capacity_(capacity) {}

  /// True: the line is over, and was the one.
  bool take(char c) {
    if (c == '\n') {
      const bool found = begin_ <= address_ && address_ < end_ && length_ > 0;
      if (found) path_[length_] = '\0';
      begin_ = end_ = 0;
      length_ = 0;
      part_ = Part::begin;
      return found;
    }
    if (part_ == Part::begin) {
      if (c == '-') part_ = Part::end;
      if (c != '-') begin_ = begin_ * 16 + digit(c);
    } else if (part_ == Part::end) {
      if (c == ' ') part_ = Part::rest;
      if (c != ' ') end_ = end_ * 16 + digit(c);
    } else if ((c == '/' || length_ > 0) && length_ + 1 < capacity_) {
      path_[length_++] = c;
    }
    return false;
  }

 private:
  enum class Part { begin, end, rest };
  static std::uintptr_t digit(char c) {
    return static_cast<std::uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }

  std::uintptr_t address_;
  char* path_;
  std::size_t capacity_;
  Part part_ = Part::begin;
  std::uintptr_t begin_ = 0;
  std::uintptr_t end_ = 0;
  std::size_t length_ = 0;
};

}  // namespace

void write_error(const char* message) noexcept {
  Text line;
  // On a terminal, a line of progress may stand there.
  if (isatty(STDERR_FILENO) == 1) line += "\r\033[K";
  line += "error: ";
  line += message;
  line += "\n";
  if (write(STDERR_FILENO, line.c_str(), std::strlen(line.c_str())) < 0) return;  // ending is what counts
}

bool mapped_file_at(std::uintptr_t address, char* path, std::size_t capacity) noexcept {
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return false;
  MapsLine line(address, path, capacity);
  char bytes[1024];
  bool found = false;
  for (ssize_t count = 0; !found && (count = read(maps, bytes, sizeof(bytes))) > 0;) {
    for (ssize_t i = 0; i < count && !found; ++i)
      found = line.take(bytes[i]);
  }
  close(maps);
  return found;
}

void install_fault_handling(CloseRecordings close_recordings) noexcept {
  state.close = close_recordings;
  state.reserve = std::malloc(kReserve);
  std::set_new_handler(&on_no_memory);
  std::signal(SIGXFSZ, SIG_IGN);
  start_closer();
  struct sigaction action {};
  action.sa_sigaction = &on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigfillset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace expertscope
