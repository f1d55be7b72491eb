// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "engine/backend/capture.h"
#include "engine/error.h"
#include "probes/store/run_info.h"

namespace expertscope {

class Session;

/// What happens when blocks arrive faster than they are written.
enum class Backpressure : std::uint8_t {
  wait,  ///< inference waits: nothing is lost (default)
  drop,  ///< whole blocks are dropped, counted and marked in the trace (live views)
};

/// Another program and the trace's lock.
enum class TraceLock : std::uint8_t {
  taken,  ///< the run waits for it (or drops tokens)
  free,   ///< that is over, the recording goes on
};

using RecorderNotice = std::function<void(TraceLock lock, const std::string& message)>;

struct RecorderOptions {
  Backpressure backpressure = Backpressure::wait;
  int queue_blocks = 64;                           ///< blocks in flight
  std::chrono::milliseconds commit_interval{250};  ///< at most this much is lost by a kill -9
  /// Keeps every number of a token as it was measured, in about twice the room; else magnitudes are rounded
  /// by at most kRoundingError. Statistics are exact either way.
  bool full = false;
  /// Bytes a token stands for, so that the trace reads without the model; may be empty.
  std::function<std::string(std::int32_t)> token_bytes;
  /// Told, by the thread that delivers, when it has to wait (or to drop tokens) because another program has
  /// locked the trace, and when that is over.
  RecorderNotice notice;
  /// Ends that wait: deliver() then fails with ErrorCode::cancelled.
  std::stop_token stop;
  /// Asked when the run is closed: what a reader of the trace has to know about it (weights that changed
  /// while it ran); goes into the run's message. May be empty.
  std::function<std::string()> remark;
};

/// One thread behind one bounded queue, writing one run of one trace file. `acquire`, `deliver`, the marks
/// and `finish` are called from one thread, the one that steps the session.
class Recorder final : public CaptureSink {
 public:
  /// Creates the file or appends a run to an existing trace. The error names the file.
  static Result<std::unique_ptr<Recorder>> start(const std::filesystem::path& file, const RunInfo& info,
                                                 RecorderOptions options = {});
  /// Finishes as "stopped" when finish() was not called, as "failed" where an exception ends the run.
  ~Recorder() override;

  std::int64_t run_id() const;
  const std::filesystem::path& file() const;

  std::unique_ptr<CaptureBlock> acquire() override;
  /// The writer's error, once it had one, comes back here: the run stops, what was committed stays.
  Status deliver(std::unique_ptr<CaptureBlock> block) override;

  /// The domain of the next sequence that begins in a cache slot of the session (with a token at position 0);
  /// kept in the trace.
  void set_domain(int slot, const std::string& domain);
  /// Tokens delivered from here on are generated ones, not the prompt.
  void mark_generated();

  /// Tokens dropped so far (Backpressure::drop); from any thread.
  std::int64_t dropped_tokens() const;

  /// Waits until all is on disk and closes the run. `status`: "finished", "stopped" or "failed". Fails where
  /// the trace was deleted, replaced or cut meanwhile.
  Status finish(const std::string& status, const std::string& message = {}, const std::string& text = {});

  /// After finish(): "t.db keeps 12 tokens of run 3", or that nothing is kept; and the remark, if there is
  /// one.
  std::string what_is_kept() const;
  const std::string& remark() const;

  /// Closes every recording of this process as failed and waits a moment for it. For a program that cannot go
  /// on: the threads that deliver may be in any state. Never throws; any thread.
  static void close_all(const char* why) noexcept;
  /// The same with another limit on the wait for all of them.
  static void close_all(const char* why, std::chrono::milliseconds patience) noexcept;

 private:
  Recorder();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The parts of RunInfo that follow from a model and a session; the caller fills kind, data set, prompt and
/// sampling.
RunInfo describe_run(const Session& session, const CaptureRequest& probes);

}  // namespace expertscope
