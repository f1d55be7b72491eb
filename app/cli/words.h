// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "engine/error.h"

namespace expertscope::cli {

/// An option as a command knows it.
struct KnownOption {
  std::string name;  ///< "--trace"
  bool takes_value = false;
  bool takes_any = false;  ///< a value that looks like an option is text, too
};

/// "; did you mean X?" where one of the names is near enough to what was typed, else nothing.
std::string did_you_mean(const std::string& typed, const std::vector<std::string>& names);

/// The words of a command line, ready for the parser: "--name=" becomes a name and an empty value. Refuses
/// options that `command` does not have and those without their value, the next option taken for it: the
/// parser would name what is missing then, or record into a file called "--json".
Result<std::vector<std::string>> checked_words(const std::string& command,
                                               const std::vector<std::string>& words,
                                               const std::vector<KnownOption>& options);

}  // namespace expertscope::cli
