// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "app/cli/arguments.h"
#include "app/cli/command.h"
#include "engine/formats/output_file.h"
#include "engine/model/model.h"
#include "engine/run/session.h"
#include "engine/run/usual_options.h"

namespace expertscope::cli {

/// The arguments shared by every command that runs a model.
struct RunOptions {
  std::string model;
  std::string policy;  ///< file; empty: the model's own routing
  std::string math = "bf16";
  int threads = 0;
  std::string backend = "auto";  ///< as parse_backend_choice() reads it
};

void add_model_argument(Arguments& options, std::string& model);
/// --backend.
Argument add_backend_option(Arguments& options, std::string& backend);
/// MODEL, --policy, --math, --threads and --backend.
void add_run_options(Arguments& options, RunOptions& run);

/// What no output may be: a file of the folder that opening `model` reads, which for the entry of a Hugging
/// Face cache is its snapshot.
ProtectedInput files_of_model(const std::string& model);

/// How commands record.
struct RecordingOptions {
  CaptureRequest probes = CaptureRequest::standard();
  bool full = false;  ///< RecorderOptions::full
};
/// An option for every probe that is not one of the standard ones, and --full.
void add_recording_options(Arguments& options, RecordingOptions& recording);

/// Refuses a --trace that is a file the command reads: the policy, one of the model, or that of `argument`.
Status check_trace_output(const std::string& trace, const RunOptions& run, const char* argument,
                          const std::string& input);

/// Shows its progress; what the model warns of that concerns the results of a run becomes a note each.
Result<std::shared_ptr<const Model>> open_model(const std::string& folder);
/// The tokenizer of a model, or why there is none; what the model warns of that concerns the ids of a text
/// becomes a note each.
Result<const Tokenizer*> open_tokenizer(const Model& model);
/// The same as open_model() without notes, for who says them otherwise.
Result<std::shared_ptr<const Model>> open_model_quietly(const std::string& folder);

/// How large a session has to be for what it will run.
struct SessionShape {
  int max_context = 0;        ///< tokens of one sequence
  int max_sequences = 1;      ///< sequences side by side
  bool all_logits = false;    ///< logits of every token are asked for: smaller steps keep them in memory
  int gpu_batch = kGpuBatch;  ///< tokens of a step on a GPU
  int gpu_sequences = 0;      ///< sequences side by side on a GPU; 0: max_sequences
};
/// A session with the policy of the options in force; the error names the policy file, and where a GPU that
/// was asked for does not run the model, what does. Shows weights on their way to a device.
Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model, const RunOptions& options,
                                              const SessionShape& shape);

/// "backend", "backend_reason" and "device" (null for the CPU): what ran a session.
void add_backend(nlohmann::ordered_json& json, const Session& session);
nlohmann::ordered_json device_json(const DeviceInfo& device);

/// The error of a run that a session did not finish; one of its GPU comes with the way out of it.
tl::unexpected<Error> run_failure(const Session& session, Error error);

/// Every id names a row of the embedding.
Status check_ids(std::span<const std::int32_t> ids, const ModelConfig& config);

}  // namespace expertscope::cli
