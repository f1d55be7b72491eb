// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <initializer_list>
#include <string>

#include "engine/error.h"

namespace expertscope::cli {

/// A file the command reads.
struct InputFile {
  const char* argument;  ///< as the help names it
  std::string path;      ///< empty: not given
};

/// Refuses an output that is one of the inputs, whatever the two are called: writing would destroy it.
/// `option` names the output; an empty path is no output.
Status check_output(const char* option, const std::string& path, std::initializer_list<InputFile> inputs);

}  // namespace expertscope::cli
