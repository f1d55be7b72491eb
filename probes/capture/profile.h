// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/model/session.h"
#include "engine/text/dataset.h"

namespace expertscope {

struct ProfileOptions {
  int sequence_length = 2048;  ///< tokens of one sequence, BOS included where the tokenizer adds one
  int max_sequences = 0;       ///< 0: all the data gives
  CaptureRequest probes = CaptureRequest::standard();
};

struct ProfileResult {
  std::int64_t run = 0;  ///< id in the trace
  std::int64_t tokens = 0;
  std::int64_t sequences = 0;
  double seconds = 0;
  double nll_mean = 0;  ///< nats per scored token
};

/// Tokens done, tokens in all.
using ProfileProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// Runs a data set through the session, recording into `trace`. Documents are cut into sequences of at most
/// sequence_length; each starts a sequence of its own. The run's domain per sequence is kept in the trace.
Result<ProfileResult> profile(Session& session, const Dataset& data, const ProfileOptions& options,
                              const std::filesystem::path& trace, const ProfileProgress& progress = {},
                              std::stop_token stop = {});

}  // namespace expertscope
