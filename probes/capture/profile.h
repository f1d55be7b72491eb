// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/run/session.h"
#include "engine/text/dataset.h"
#include "probes/capture/recorder.h"

namespace expertscope {

struct ProfileOptions {
  int sequence_length = 2048;  ///< tokens of one sequence, BOS included where the tokenizer adds one
  int max_sequences = 0;       ///< 0: all the data gives
  CaptureRequest probes = CaptureRequest::standard();
  bool full = false;      ///< as in RecorderOptions, like the next
  RecorderNotice notice;  ///< may be empty
};

struct ProfileResult {
  std::int64_t run = 0;  ///< id in the trace
  std::int64_t tokens = 0;
  std::int64_t sequences = 0;
  double seconds = 0;
  std::int64_t scored_tokens = 0;  ///< tokens with a log-probability; 0 when that probe is off
  double nll_mean = 0;             ///< nats per scored token
  std::string remark;              ///< weights that were rewritten meanwhile; as a rule empty
};

/// Tokens done, tokens in all.
using ProfileProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// Runs a data set through the session, recording into `trace`. Documents are cut into sequences of at most
/// sequence_length; each starts a sequence of its own (with the tokens the tokenizer puts first, e.g. BOS).
/// As many run at once as the session has slots. The domain of each sequence is kept in the trace. A run that
/// is cancelled or fails is closed as such, and what was recorded stays; the error then says so.
Result<ProfileResult> profile(Session& session, const Dataset& data, const ProfileOptions& options,
                              const std::filesystem::path& trace, const ProfileProgress& progress = {},
                              const std::stop_token& stop = {});

}  // namespace expertscope
