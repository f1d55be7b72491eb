// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace expertscope::testing {

/// Damages files in ways that are the same in every run.
class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  /// Flips, inserts, removes or repeats a few bytes, or cuts the end off.
  std::string bytes(std::string text);
  /// Replaces, removes or duplicates a few values anywhere in a document, with a liking for extreme numbers.
  nlohmann::json json(nlohmann::json document);
  /// 0 .. bound - 1
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }

 private:
  void change_bytes(std::string& text);
  nlohmann::json& pick(nlohmann::json& document);
  nlohmann::json strange_value();

  std::mt19937_64 random_;
};

}  // namespace expertscope::testing
