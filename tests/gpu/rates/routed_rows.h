// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "tests/gpu/rates/expert_rates.h"

namespace expertscope::cuda {

/// Routed slots and the rows they become when they are sorted by expert, as a host knows them that has waited
/// for the router.
struct RoutedRows {
  std::vector<std::int32_t> expert;        ///< [tokens, top_k] distinct within a token
  std::vector<std::int32_t> load;          ///< [experts] rows of an expert
  std::vector<std::int32_t> row_of_slot;   ///< [tokens, top_k]
  std::vector<std::int32_t> token_of_row;  ///< [tokens * top_k]
};

/// The decisions of a router that draws every token's experts without replacement; the same for the same
/// seed.
RoutedRows route_at_random(const ExpertCase& what);

}  // namespace expertscope::cuda
