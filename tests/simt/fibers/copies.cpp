// SPDX-License-Identifier: GPL-3.0-or-later
#include <cstring>

#include "tests/simt/fibers/worker.h"

/// Asynchronous copies to shared memory (cp.async), done as late as a GPU may do them.

namespace expertscope::simt {

namespace {

constexpr std::size_t kBytes = 16;

bool is_aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % kBytes == 0;
}

}  // namespace

void Worker::start_copy(void* to, const void* from, bool valid, Where where) {
  if (!is_aligned(to)) fail("an asynchronous copy to an address that is not aligned to 16 bytes", where);
  if (valid && !is_aligned(from)) {
    fail("an asynchronous copy from an address that is not aligned to 16 bytes", where);
  }
  std::memset(to, 0xFF, kBytes);
  current_->copies.push_back({to, from, valid, current_->copy_group});
}

void Worker::finish_copies(int pending_groups) {
  std::vector<PendingCopy>& copies = current_->copies;
  const int first_pending = current_->copy_group - pending_groups;
  std::size_t finished = 0;
  while (finished < copies.size() && copies[finished].group < first_pending) {
    const PendingCopy& copy = copies[finished++];
    if (copy.valid) {
      std::memcpy(copy.to, copy.from, kBytes);
    } else {
      std::memset(copy.to, 0, kBytes);
    }
  }
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(finished));
}

void start_copy(void* to, const void* from, bool valid, Where where) {
  Worker::running().start_copy(to, from, valid, where);
}
void close_copy_group() {
  ++Worker::running().current().copy_group;
}
void finish_copies(int pending_groups) {
  Worker::running().finish_copies(pending_groups);
}

}  // namespace expertscope::simt
