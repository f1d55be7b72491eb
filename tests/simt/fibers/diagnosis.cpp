// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "tests/simt/fibers/worker.h"

/// What a person reads who left out a barrier.

namespace expertscope::simt {

namespace {

std::string place(const Where& where) {
  const char* slash = std::strrchr(where.file_name(), '/');
  return fmt::format("{}:{}", slash != nullptr ? slash + 1 : where.file_name(), where.line());
}

std::string index_text(const uint3& index) {
  return fmt::format("({},{},{})", index.x, index.y, index.z);
}

/// 0-3,8 for 0x10f.
std::string lanes_text(unsigned lanes) {
  std::string text;
  while (lanes != 0) {
    const int first = std::countr_zero(lanes);
    const int length = std::countr_one(lanes >> first);
    text += fmt::format("{}{}", text.empty() ? "" : ",", first);
    if (length > 1) text += fmt::format("-{}", first + length - 1);
    lanes &= length == 32 ? 0 : ~(((1u << length) - 1) << first);
  }
  return text;
}

}  // namespace

std::string Worker::block_text() const {
  return fmt::format("block {}", index_text(blockIdx));
}

std::string Worker::thread_text(const Thread& thread) const {
  return fmt::format("{}, thread {}", block_text(), index_text(thread.index));
}

void Worker::record_failure(std::string_view what, Where where) {
  failure_ = fmt::format("{}, {}: {}", thread_text(*current_), place(where), what);
}

void Worker::fail_divergent_barrier(Where where) {
  // A string that lives on here would never be freed.
  record_failure(fmt::format("__syncthreads while {} of the {} threads alive wait at another one, {}",
                             waiting_, alive_, place(barrier_where_)),
                 where);
  leave_for_good();
}

/// Why each lane that `meeting` waits for does not come.
std::string Worker::missing_text(const Warp& warp, const Meeting& meeting) const {
  const auto w = static_cast<unsigned>(&warp - warps_.data());
  const unsigned existing = std::min(32u, thread_count_ - w * 32);
  const unsigned in_block = existing == 32 ? ~0u : (1u << existing) - 1;
  const unsigned missing = meeting.mask & ~meeting.arrived;
  std::string text;
  const auto add = [&text](unsigned lanes, const std::string& why) {
    if (lanes != 0) text += fmt::format("{}lanes {} {}", text.empty() ? "" : "; ", lanes_text(lanes), why);
  };
  add(missing & ~in_block, "do not exist");
  add(missing & warp.ended, "have ended");
  const unsigned at_barrier = missing & warp.at_barrier;
  if (at_barrier != 0) add(at_barrier, "wait in __syncthreads at " + place(barrier_where_));
  for (int i = 0; i < warp.meetings; ++i) {
    const unsigned elsewhere = missing & warp.meeting[i].arrived;
    if (elsewhere == 0) continue;
    const Thread& one = threads_[w * 32 + static_cast<unsigned>(std::countr_zero(elsewhere))];
    add(elsewhere, fmt::format("wait with mask {:#010x} at {}", one.mask, place(one.where)));
  }
  return text;
}

std::string Worker::explain_deadlock() const {
  for (unsigned w = 0; w < warp_count_; ++w) {
    const Warp& warp = warps_[w];
    if (warp.meetings == 0) continue;
    const Meeting& meeting = warp.meeting[0];
    const Thread& one = threads_[w * 32 + static_cast<unsigned>(std::countr_zero(meeting.arrived))];
    return fmt::format("{}, warp {}, {}: lanes {} wait in a warp collective with mask {:#010x}, but {}",
                       block_text(), w, place(one.where), lanes_text(meeting.arrived), meeting.mask,
                       missing_text(warp, meeting));
  }
  return block_text() + ": no thread can run";
}

}  // namespace expertscope::simt
