// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <vector>

#include "probes/store/run_info.h"

namespace expertscope {

/// One thing that a trace says of a run. Values are as the file has them: whoever shows them escapes them.
struct RunFact {
  const char* name;
  std::string value;
  bool code = false;  ///< a path, a hash, JSON: no words
};

/// What made a run and what it is made of, the same for the command line, the report and the window; what the
/// trace does not say is left out.
std::vector<RunFact> run_facts(const RunInfo& run);

/// "demo | Qwen3MoeForCausalLM | 6 layers x 16 experts, top-2 | CPU bf16": the same in one line.
std::string run_summary(const RunInfo& run);

}  // namespace expertscope
