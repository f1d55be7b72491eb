// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/output_file.h"

#include <filesystem>
#include <system_error>

namespace expertscope::cli {

Status check_output(const char* option, const std::string& path, std::initializer_list<InputFile> inputs) {
  for (const InputFile& input : inputs) {
    std::error_code missing;  // what is not there is nobody's input
    if (!std::filesystem::equivalent(path, input.path, missing) || missing) continue;
    return fail(ErrorCode::invalid_argument, "{}: {} is the file that {} reads; choose another to write to",
                path, option, input.argument);
  }
  return {};
}

}  // namespace expertscope::cli
