// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "engine/error.h"
#include "engine/model/capture.h"
#include "probes/store/run_info.h"

namespace expertscope {

class Session;

/// What happens when blocks arrive faster than they are written.
enum class Backpressure : std::uint8_t {
  wait,  ///< inference waits: nothing is lost (default)
  drop,  ///< whole blocks are dropped, counted and marked in the trace (live views)
};

struct RecorderOptions {
  Backpressure backpressure = Backpressure::wait;
  int queue_blocks = 64;                           ///< blocks in flight
  std::chrono::milliseconds commit_interval{250};  ///< at most this much is lost by a kill -9
  /// Bytes a token stands for, so that the trace reads without the model; may be empty.
  std::function<std::string(std::int32_t)> token_bytes;
};

/// One thread behind one bounded queue, writing one run of one trace file. `acquire`, `deliver`, the marks
/// and `finish` are called from one thread, the one that steps the session.
class Recorder final : public CaptureSink {
 public:
  /// Creates the file or appends a run to an existing trace. The error names the file.
  static Result<std::unique_ptr<Recorder>> start(const std::filesystem::path& file, const RunInfo& info,
                                                 RecorderOptions options = {});
  /// Finishes as "stopped" when finish() was not called.
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

  /// Waits until all is on disk and closes the run. `status`: "finished", "stopped" or "failed".
  Status finish(const std::string& status, const std::string& message = {}, const std::string& text = {});

 private:
  Recorder();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The parts of RunInfo that follow from a model and a session; the caller fills kind, data set, prompt and
/// sampling.
RunInfo describe_run(const Session& session, const CaptureRequest& probes);

}  // namespace expertscope
