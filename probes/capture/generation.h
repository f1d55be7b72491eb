// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "engine/error.h"
#include "engine/run/generate.h"
#include "engine/run/session.h"
#include "probes/capture/recorder.h"

namespace expertscope {

/// The JSON kept in RunInfo::sampling.
std::string sampling_json(const GenerateOptions& options);

/// Starts the recording of a generation in `trace`: model, settings and prompt go into the run's row. The
/// bytes of tokens and the remark (weights that were rewritten meanwhile) need not be set in `recording`.
Result<std::unique_ptr<Recorder>> start_generation_run(const Session& session, const std::string& prompt,
                                                       const GenerateOptions& options,
                                                       const CaptureRequest& probes,
                                                       const std::filesystem::path& trace,
                                                       RecorderOptions recording = {});

/// generate() with the session's probes going to `recorder`: marks the generated tokens and closes the run
/// with its text as "finished", "stopped" or "failed". An error of `on_token` ends it after that token: the
/// run is closed as "interrupted", and the error is the result. Probes are off again afterwards.
Result<GenerateResult> generate_recorded(Session& session, Recorder& recorder, const CaptureRequest& probes,
                                         std::span<const std::int32_t> prompt, const GenerateOptions& options,
                                         const std::function<Status(const GeneratedToken&)>& on_token = {},
                                         const std::stop_token& stop = {});

}  // namespace expertscope
