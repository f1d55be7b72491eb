// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/run_options.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "app/cli/console.h"
#include "engine/formats/output_file.h"
#include "engine/model/model_folder.h"
#include "engine/run/backend_choice.h"
#include "engine/run/routing_policy.h"

namespace expertscope::cli {
namespace {

/// Memory for the logits of one step: a full step up to a vocabulary of 196,608.
constexpr std::int64_t kLogitsBytes = 384 << 20;

/// `batch`, or as many tokens as there is memory for the logits of.
int with_all_logits(const ModelConfig& config, int batch) {
  const std::int64_t row = static_cast<std::int64_t>(config.vocab_size) * 4;
  const std::int64_t fits = kLogitsBytes / std::max<std::int64_t>(row, 1);
  return static_cast<int>(std::max<std::int64_t>(std::min<std::int64_t>(batch, fits), 1));
}

BackendOptions backend_options(const ModelConfig& config, const BackendChoice& choice,
                               const RunOptions& options, const SessionShape& shape) {
  BackendOptions backend = usual_options(choice, std::max(shape.max_context, 1), shape.max_sequences);
  backend.gpu_batch = shape.gpu_batch;
  backend.gpu_sequences = shape.gpu_sequences;
  backend.math = options.math == "f32" ? MathMode::f32 : MathMode::bf16;
  backend.threads = options.threads;
  if (shape.all_logits) {
    backend.max_batch = with_all_logits(config, backend.max_batch);
    backend.gpu_batch = with_all_logits(config, backend.gpu_batch);
  }
  return backend;
}

Result<std::unique_ptr<Session>> create_session(std::shared_ptr<const Model> model,
                                                const BackendOptions& options) {
  Progress progress("loading " + model->identity().name, "");
  std::string told;
  return Session::create(std::move(model), options, [&](const std::string& what, double fraction) {
    // The plan of the memory stays to be read; progress is drawn over, and on terminals only.
    if (what != std::exchange(told, what)) note(what);
    progress.update(what, fraction);
  });
}

bool is_database(const std::string& file) {
  constexpr std::string_view kMagic = "SQLite format 3";
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return false;
  std::array<char, kMagic.size()> bytes{};
  std::ifstream(file, std::ios::binary).read(bytes.data(), bytes.size());
  return std::string_view(bytes.data(), bytes.size()) == kMagic;
}

/// The error of a GPU with the way out of it.
Error with_cpu_offered(const Error& error) {
  return {error.code, error.message + "; --backend cpu runs it on the CPU"};
}

/// The GPU was asked for, here or by the environment.
bool asks_for_gpu(const BackendChoice& choice) {
  const auto wanted = wanted_backend(choice);
  return wanted && wanted->choice.kind == BackendKind::cuda;
}

}  // namespace

void add_model_argument(Arguments& options, std::string& model) {
  options
      .add("MODEL", model,
           "Model: a folder with config.json and safetensors files, a GGUF file, or org/name[@revision] of "
           "the Hugging Face cache")
      .required()
      .file();
}

void add_run_options(Arguments& options, RunOptions& run) {
  add_model_argument(options, run.model);
  options.add("--policy", run.policy, "Routing policy to run under (JSON)").value_name("FILE").file();
  options.add("--math", run.math, "Arithmetic of the activations: bf16 (fast) or f32 (reference)")
      .one_of({"f32", "bf16"})
      .show_default();
  options.add("--threads", run.threads, "Threads; 0: every processor this process may use")
      .range(0, 4096)
      .show_default();
  add_backend_option(options, run.backend);
}

Argument add_backend_option(Arguments& options, std::string& backend) {
  const auto check = [](const std::string& text) -> std::string {
    const auto choice = parse_backend_choice(text);
    return choice ? std::string() : choice.error().message;
  };
  return options
      .add("--backend", backend, "Where to run: auto (the first usable GPU, else the CPU), cpu, cuda, cuda:N")
      .checked_by(check)
      .value_name("NAME")
      .show_default();
}

void add_recording_options(Arguments& options, RecordingOptions& recording) {
  for (const Probe& probe : kProbes) {
    if (probe.standard) continue;
    std::string name = std::string("--") + probe.name;
    std::replace(name.begin(), name.end(), '_', '-');
    options.add_flag(name.c_str(), recording.probes.*probe.flag, std::string("Also record ") + probe.meaning);
  }
  options.add_flag(
      "--full", recording.full,
      "Record every number of a token as it was measured, not rounded to one part in 2048: twice "
      "the size");
}

ProtectedInput files_of_model(const std::string& model) {
  if (model.empty()) return {};
  const auto found = find_model(model);
  return {"a file of the model", found ? *found : std::filesystem::path(model)};
}

Status check_trace_output(const std::string& trace, const RunOptions& run, const char* argument,
                          const std::string& input) {
  if (trace.empty()) return {};
  if (is_standard_output(trace) || trace == "/dev/stderr")
    return fail(ErrorCode::invalid_argument, "--trace: {} takes text, a trace is a file", trace);
  Status output = check_output(trace, {{"the file that --policy reads", run.policy},
                                       {fmt::format("the file that {} reads", argument), input}});
  // A run is added to a trace, wherever it lies; a file of the model must not become one.
  if (output && !is_database(trace)) output = check_output(trace, {files_of_model(run.model)});
  if (!output) return fail(output.error().code, "--trace: {}", output.error().message);
  return {};
}

Result<std::shared_ptr<const Model>> open_model(const std::string& folder) {
  auto model = open_model_quietly(folder);
  if (!model) return model;
  for (const std::string& warning : (*model)->result_warnings())
    note(warning);
  return model;
}

Result<const Tokenizer*> open_tokenizer(const Model& model) {
  auto tokenizer = model.require_tokenizer();
  if (!tokenizer) return tokenizer;
  for (const std::string& warning : model.text_warnings())
    note(warning);
  return tokenizer;
}

Result<std::shared_ptr<const Model>> open_model_quietly(const std::string& folder) {
  Progress progress("opening " + folder, "");
  return Model::open(folder,
                     [&](const std::string& what, double fraction) { progress.update(what, fraction); });
}

Result<std::unique_ptr<Session>> open_session(std::shared_ptr<const Model> model, const RunOptions& options,
                                              const SessionShape& shape) {
  // The policy first: it is cheap to check, and memory for the session is not.
  std::shared_ptr<const RoutingTable> table;
  if (!options.policy.empty()) {
    const auto policy = RoutingPolicy::load(options.policy);
    if (!policy) return forward_error(policy);
    auto compiled = policy->compile(model->config());
    if (!compiled) return fail(compiled.error().code, "{}: {}", options.policy, compiled.error().message);
    table = std::move(*compiled);
  }
  const auto choice = parse_backend_choice(options.backend);
  if (!choice) return forward_error(choice);
  const BackendOptions backend = backend_options(model->config(), *choice, options, shape);
  auto session = create_session(std::move(model), backend);
  if (!session) {
    const bool gpu = session.error().code != ErrorCode::cancelled && asks_for_gpu(*choice);
    return tl::unexpected<Error>(gpu ? with_cpu_offered(session.error()) : session.error());
  }
  const auto refusal = gpu_refusal(*choice, (*session)->backend_info(), installed_gpu_backends());
  if (!refusal.empty()) note(fmt::format("runs on the CPU: {}", refusal));
  if (table) (*session)->set_routing(std::move(table));
  return session;
}

nlohmann::ordered_json device_json(const DeviceInfo& device) {
  return {{"index", device.index},   {"name", device.name},
          {"uuid", device.uuid},     {"compute_capability", device.compute_capability},
          {"driver", device.driver}, {"memory_bytes", device.memory_total}};
}

void add_backend(nlohmann::ordered_json& json, const Session& session) {
  const BackendInfo& info = session.backend_info();
  json["backend"] = session.backend_description();
  json["backend_reason"] = info.reason;
  json["device"] = info.kind == BackendKind::cpu ? nlohmann::ordered_json() : device_json(info.device);
}

tl::unexpected<Error> run_failure(const Session& session, Error error) {
  return tl::unexpected<Error>(session.failed_on_gpu(error) ? with_cpu_offered(error) : std::move(error));
}

Status check_ids(std::span<const std::int32_t> ids, const ModelConfig& config) {
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= config.vocab_size) {
      return fail(ErrorCode::invalid_argument, "token id {} is outside the model's vocabulary of {}", id,
                  config.vocab_size);
    }
  }
  return {};
}

}  // namespace expertscope::cli
