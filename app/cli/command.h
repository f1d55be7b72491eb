// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <functional>

#include "app/cli/arguments.h"
#include "app/cli/interrupt.h"
#include "engine/error.h"

namespace expertscope::cli {

/// What every command is given.
struct CommandContext {
  InterruptWatcher& interrupts;  ///< for a GracefulStop around what has to be closed properly
};

/// What runs once the arguments are parsed.
using CommandBody = std::function<Status(const CommandContext&)>;

/// One entry of the table in main.cpp.
struct Command {
  const char* name;
  const char* summary;
  /// Declares the command's arguments on `options`; the body it returns reads them.
  CommandBody (*define)(Arguments& options);
};

CommandBody define_info(Arguments& options);
CommandBody define_tokenize(Arguments& options);
CommandBody define_logits(Arguments& options);
CommandBody define_generate(Arguments& options);
CommandBody define_profile(Arguments& options);
CommandBody define_ppl(Arguments& options);
CommandBody define_analyze(Arguments& options);
CommandBody define_report(Arguments& options);
CommandBody define_delete(Arguments& options);

}  // namespace expertscope::cli
