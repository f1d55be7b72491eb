// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/support/temporary_folder.h"

namespace expertscope::testing {

/// Folder of test data in the repository.
std::filesystem::path data_folder();

std::string read_bytes(const std::filesystem::path& file);

/// A safetensors file: header length, header, data.
std::string safetensors_bytes(const std::string& header, std::string_view data);
std::string safetensors_bytes(const nlohmann::json& header, std::string_view data);

/// A folder of its own for one test, removed afterwards; empty, or a copy of a model of tests/data/models.
class ModelFolder final : public TemporaryFolder {
 public:
  ModelFolder() = default;
  explicit ModelFolder(const std::string& model);

  void write(const std::string& name, std::string_view bytes) const;
  /// Rewrites a JSON file of the folder.
  void edit_json(const std::string& name, const std::function<void(nlohmann::json&)>& edit) const;
  /// Rewrites the header and the data of model.safetensors.
  void edit_weights(const std::function<void(nlohmann::json& header, std::string& data)>& edit) const;
};

}  // namespace expertscope::testing
