// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/error.h"
#include "engine/formats/weight_format.h"
#include "engine/model/config.h"

namespace expertscope::bench {

/// A model that people run, with fewer layers and a smaller vocabulary, so that it fits where it is measured.
struct FamilyShape {
  const char* option;               ///< on the command line
  const char* name;                 ///< in what is printed
  const char* config;               ///< as its config.json has it, but for what is left out
  std::optional<FormatId> experts;  ///< the format of the experts, where it is not BF16
};

std::span<const FamilyShape> family_shapes();
Result<ModelConfig> config_of(const FamilyShape& shape);

}  // namespace expertscope::bench
