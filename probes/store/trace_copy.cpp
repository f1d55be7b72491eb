// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/trace_copy.h"

#include <system_error>

#include "probes/store/database.h"

namespace expertscope {

Status copy_trace(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  if (std::filesystem::equivalent(from, to, error)) {
    return fail(ErrorCode::invalid_argument, "{}: is the trace that would be copied", to.string());
  }
  auto database = Database::open(from, Database::Mode::read_only);
  if (!database) return forward_error(database);
  std::filesystem::path partial = to;
  partial += ".part";
  std::filesystem::remove(partial, error);
  auto copy = (*database)->prepare("VACUUM INTO ?1");
  if (!copy) return forward_error(copy);
  copy->bind(1, partial.string());
  if (auto done = copy->run(); !done) {
    std::filesystem::remove(partial, error);
    return fail(done.error().code, "{}: cannot be written ({})", to.string(), done.error().message);
  }
  std::filesystem::rename(partial, to, error);
  if (error) return fail(ErrorCode::io, "{}: {}", to.string(), error.message());
  return {};
}

}  // namespace expertscope
