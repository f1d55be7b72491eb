// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/formats/safetensors.h"
#include "engine/model/model.h"

namespace expertscope::parity {

/// The tensors of one reference file under tests/data/golden; tests/data/README.md lists their names.
class GoldenFile {
 public:
  explicit GoldenFile(const std::filesystem::path& file);
  bool has(const std::string& name) const { return entry(name) != nullptr; }
  std::vector<float> floats(const std::string& name) const;
  std::vector<std::int32_t> ints(const std::string& name) const;
  /// Size of the last dimension.
  int columns(const std::string& name) const;

 private:
  const TensorEntry* entry(const std::string& name) const;
  SafetensorsFile file_;
};

std::filesystem::path data_folder();
GoldenFile golden(const std::string& model, int length);
nlohmann::json read_json(const std::filesystem::path& file);
nlohmann::json meta(const std::string& model);
std::shared_ptr<const Model> open_model(const std::string& model);

/// Every random model that has goldens in tests/data (emulated, one of those that are computed alike), and
/// those of them that have interventions.
const std::vector<std::string>& all_models();
const std::vector<std::string>& intervention_models();
/// Lengths of the reference sequences.
inline constexpr int kLengths[] = {1, 7, 300};

/// Every element of `actual` within `tolerance` of the largest magnitude of `expected`. On failure says which
/// element is the worst.
void expect_close(std::span<const float> actual, std::span<const float> expected, double tolerance,
                  const std::string& what);

}  // namespace expertscope::parity
