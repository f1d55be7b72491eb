// SPDX-License-Identifier: GPL-3.0-or-later
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "app/cli/console.h"
#include "app/cli/info_backends.h"
#include "app/cli/info_model.h"
#include "app/cli/info_trace.h"
#include "app/cli/run_options.h"
#include "engine/formats/gguf.h"
#include "engine/run/usual_options.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

struct InfoArguments {
  std::string path;  ///< empty: the program
  std::string backend = "auto";
  int context = 0;
  bool json = false;
  bool check = false;
};

Result<BackendSurvey> survey(const InfoArguments& arguments, const Model* model) {
  const auto choice = parse_backend_choice(arguments.backend);
  if (!choice) return forward_error(choice);
  return survey_backends(*choice, model, arguments.context);
}

/// Everything is shown also where the backend that was asked for cannot be used; that it cannot is a failure.
Status judge(const BackendSurvey& survey, Status written) {
  if (!written || survey.chosen) return written;
  return forward_error(survey.chosen);
}

Status model_info(const InfoArguments& arguments) {
  const auto model = open_model_quietly(arguments.path);
  if (!model) return forward_error(model);
  if (arguments.check) {
    if (auto finite = (*model)->check_finite(); !finite) return finite;
  }
  const auto backends = survey(arguments, model->get());
  if (!backends) return forward_error(backends);
  if (!arguments.json) return judge(*backends, write_text(model_text(**model) + to_text(*backends)));
  auto json = model_json(**model);
  add_json(*backends, json);
  return judge(*backends, write_json(json));
}

/// The program itself: its version, and what it can run models on.
Status program_info(const InfoArguments& arguments) {
  const auto backends = survey(arguments, nullptr);
  if (!backends) return forward_error(backends);
  if (!arguments.json)
    return judge(*backends,
                 write_text(heading("expertscope " EXPERTSCOPE_VERSION) + "\n" + to_text(*backends)));
  nlohmann::ordered_json json = {{"kind", "program"}, {"version", EXPERTSCOPE_VERSION}};
  add_json(*backends, json);
  return judge(*backends, write_json(json));
}

Status trace_info(const InfoArguments& arguments) {
  const auto trace = TraceReader::open(arguments.path);
  if (!trace) return forward_error(trace);
  return arguments.json ? trace_json(**trace).and_then(write_json) : trace_text(**trace).and_then(write_text);
}

Status info(const InfoArguments& arguments) {
  if (arguments.path.empty()) return program_info(arguments);
  std::error_code error;
  const bool model = std::filesystem::is_directory(arguments.path, error) || is_gguf(arguments.path);
  if (model) return model_info(arguments);
  if (!std::filesystem::exists(arguments.path, error))
    return model_info(arguments);  // of a cache, by its name
  return trace_info(arguments);
}

}  // namespace

CommandBody define_info(Arguments& options) {
  auto arguments = std::make_shared<InfoArguments>();
  options
      .add("PATH", arguments->path,
           "Model (a folder, a GGUF file, or org/name[@revision] of the Hugging Face cache) or trace "
           "(default: the program and its backends)")
      .file();
  options.add_flag("--json", arguments->json, "Print the description as JSON");
  options.add_flag("--check-weights", arguments->check,
                   "Also look for NaN and Inf in every weight (reads them all)");
  add_backend_option(options, arguments->backend);
  options
      .add("--context", arguments->context,
           fmt::format("Tokens of context to plan a model's memory for (default: {}, or all the model can)",
                       kUsualContext))
      .range(1, 1e7);
  return [arguments](const CommandContext&) { return info(*arguments); };
}

}  // namespace expertscope::cli
