// SPDX-License-Identifier: GPL-3.0-or-later
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <utility>

#include "app/cli/console.h"
#include "app/cli/info_model.h"
#include "app/cli/info_trace.h"
#include "app/cli/run_options.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

struct InfoArguments {
  std::string path;
  bool json = false;
  bool check = false;
};

Status model_info(const InfoArguments& arguments) {
  const auto model = open_model(arguments.path);
  if (!model) return forward_error(model);
  if (arguments.check) {
    if (auto finite = (*model)->check_finite(); !finite) return finite;
  }
  return arguments.json ? write_json(model_json(**model)) : write_text(model_text(**model));
}

Status trace_info(const InfoArguments& arguments) {
  const auto trace = TraceReader::open(arguments.path);
  if (!trace) return forward_error(trace);
  return arguments.json ? trace_json(**trace).and_then(write_json) : trace_text(**trace).and_then(write_text);
}

Status info(const InfoArguments& arguments) {
  std::error_code error;
  if (std::filesystem::is_directory(arguments.path, error)) return model_info(arguments);
  if (!std::filesystem::exists(arguments.path, error)) {
    return fail(ErrorCode::io, "{}: no such file or folder", arguments.path);
  }
  return trace_info(arguments);
}

}  // namespace

CommandBody define_info(Arguments& options) {
  auto arguments = std::make_shared<InfoArguments>();
  options.add("PATH", arguments->path, "Model folder or trace").required();
  options.add_flag("--json", arguments->json, "Print the description as JSON");
  options.add_flag("--check-weights", arguments->check,
                   "Also look for NaN and Inf in every weight (reads them all)");
  return [arguments](const CommandContext&) { return info(*arguments); };
}

}  // namespace expertscope::cli
