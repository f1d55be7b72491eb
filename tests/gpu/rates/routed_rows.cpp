// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/routed_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace expertscope::cuda {
namespace {

/// Above 0, at most 1, the same with every standard library.
double uniform(std::mt19937_64& generator) {
  return static_cast<double>((generator() >> 11) + 1) * 0x1p-53;
}

std::vector<std::int32_t> draw_experts(const ExpertCase& what) {
  std::mt19937_64 generator(what.seed);
  std::vector<double> key(static_cast<std::size_t>(what.experts));
  std::vector<std::int32_t> order(key.size());
  std::vector<std::int32_t> drawn;
  for (int token = 0; token < what.tokens; ++token) {
    // The largest keys log(u) / weight are a sample without replacement (Efraimidis and Spirakis 2006).
    for (std::size_t e = 0; e < key.size(); ++e)
      key[e] = std::log(uniform(generator)) * std::pow(static_cast<double>(e + 1), what.skew);
    std::iota(order.begin(), order.end(), 0);
    const auto larger = [&](std::int32_t a, std::int32_t b) {
      return key[static_cast<std::size_t>(a)] > key[static_cast<std::size_t>(b)];
    };
    std::partial_sort(order.begin(), order.begin() + what.top_k, order.end(), larger);
    drawn.insert(drawn.end(), order.begin(), order.begin() + what.top_k);
  }
  return drawn;
}

}  // namespace

RoutedRows route_at_random(const ExpertCase& what) {
  RoutedRows rows;
  rows.expert = draw_experts(what);
  rows.load.assign(static_cast<std::size_t>(what.experts), 0);
  for (const std::int32_t expert : rows.expert)
    ++rows.load[static_cast<std::size_t>(expert)];
  std::vector<std::int32_t> next(rows.load.size());
  std::exclusive_scan(rows.load.begin(), rows.load.end(), next.begin(), 0);
  rows.token_of_row.resize(rows.expert.size());
  for (std::size_t slot = 0; slot < rows.expert.size(); ++slot) {
    const std::int32_t row = next[static_cast<std::size_t>(rows.expert[slot])]++;
    rows.row_of_slot.push_back(row);
    rows.token_of_row[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(slot) / what.top_k;
  }
  return rows;
}

}  // namespace expertscope::cuda
