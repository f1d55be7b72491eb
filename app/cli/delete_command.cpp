// SPDX-License-Identifier: GPL-3.0-or-later
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/cli/command.h"
#include "app/cli/console.h"
#include "app/cli/trace_tables.h"
#include "probes/store/delete_run.h"
#include "probes/store/trace_reader.h"

namespace expertscope::cli {
namespace {

struct DeleteArguments {
  std::string trace;
  std::int64_t run = 0;
  bool json = false;
};

Status delete_from_trace(const DeleteArguments& arguments) {
  const auto trace = TraceReader::open(arguments.trace);
  if (!trace) return forward_error(trace);
  const auto run = select_run(**trace, arguments.run);
  if (!run) return forward_error(run);
  if (auto deleted = delete_run(arguments.trace, run->id); !deleted) return deleted;
  if (arguments.json)
    return write_json({{"trace", arguments.trace}, {"run", run->id}, {"tokens", run->tokens}});
  note(fmt::format("run {} of {} deleted: {}, {} tokens; the next recordings use its room", run->id,
                   arguments.trace, run->kind, format_count(run->tokens)));
  return {};
}

}  // namespace

CommandBody define_delete(Arguments& options) {
  auto arguments = std::make_shared<DeleteArguments>();
  options.add("TRACE", arguments->trace, "Recorded trace").required().file();
  options
      .add("--run", arguments->run,
           "Run to delete, with all that was recorded of it; its number is not given again, and the file "
           "does not shrink")
      .required()
      .range(1, 1e15);
  options.add_flag("--json", arguments->json, "Print what was deleted as JSON");
  return [arguments](const CommandContext&) { return delete_from_trace(*arguments); };
}

}  // namespace expertscope::cli
