// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_copy.h"

#include <system_error>

#include "engine/formats/output_file.h"
#include "probes/store/database.h"

namespace expertscope {

Status copy_trace(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  if (std::filesystem::equivalent(from, to, error)) {
    return fail(ErrorCode::invalid_argument, "{}: is the trace that would be copied", to.string());
  }
  auto database = Database::open(from, Database::Mode::read_only);
  if (!database) return forward_error(database);
  auto output = OutputFile::create(to, 0600);
  if (!output) return forward_error(output);
  if (output->temporary().empty())
    return fail(ErrorCode::io, "{}: a trace can only be copied to a file", to.string());
  auto copy = (*database)->prepare("VACUUM INTO ?1");  // takes a file that is there and empty
  if (!copy) return forward_error(copy);
  copy->bind(1, plain_name(output->temporary()));
  if (auto done = copy->run(); !done)
    return fail(done.error().code, "{}: cannot be written ({})", to.string(), done.error().message);
  return output->finish();
}

}  // namespace expertscope
