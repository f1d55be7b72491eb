// SPDX-License-Identifier: GPL-3.0-or-later
// Preloaded into a program: its nth allocation fails (FAIL_MALLOC_AT), and with FAIL_MALLOC_ALL set all later
// ones do, too. With FAIL_MALLOC_COUNT, a file, their number is written there at the end.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

// What glibc calls its own, under names that stay free.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

struct Plan {
  long at = 0;  // 0: none fails
  bool all = false;
  bool read = false;
};
Plan plan;
std::atomic<long> count{0};

// getenv() takes no memory; the first allocation comes before any constructor of this file.
bool fails() {
  if (!plan.read) {
    plan.read = true;
    if (const char* at = std::getenv("FAIL_MALLOC_AT")) plan.at = std::strtol(at, nullptr, 10);
    plan.all = std::getenv("FAIL_MALLOC_ALL") != nullptr;
  }
  const long number = ++count;
  const bool failed = plan.at > 0 && (plan.all ? number >= plan.at : number == plan.at);
  if (failed) errno = ENOMEM;
  return failed;
}

__attribute__((destructor)) void report() {
  const char* file = std::getenv("FAIL_MALLOC_COUNT");
  if (file == nullptr) return;
  char text[32];
  const int length = std::snprintf(text, sizeof(text), "%ld\n", count.load());
  const int descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (descriptor < 0) return;
  if (write(descriptor, text, static_cast<std::size_t>(length)) < 0) _exit(1);
  close(descriptor);
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) {
  return fails() ? nullptr : __libc_malloc(size);
}
void* calloc(std::size_t many, std::size_t size) {
  return fails() ? nullptr : __libc_calloc(many, size);
}
void* realloc(void* block, std::size_t size) {
  return fails() ? nullptr : __libc_realloc(block, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  void* const found = fails() ? nullptr : __libc_memalign(alignment, size);
  if (found == nullptr) return ENOMEM;
  *block = found;
  return 0;
}
}
