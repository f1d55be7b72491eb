// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/model_folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace expertscope::testing {

namespace fs = std::filesystem;

fs::path data_folder() {
  return fs::path(EXPERTSCOPE_SOURCE_DIR) / "tests" / "data";
}

std::string read_bytes(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in) << file;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string safetensors_bytes(const std::string& header, std::string_view data) {
  std::string bytes;
  for (unsigned i = 0; i < 8; ++i)
    bytes += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  return bytes + header + std::string(data);
}

std::string safetensors_bytes(const nlohmann::json& header, std::string_view data) {
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return safetensors_bytes(text, data);
}

ModelFolder::ModelFolder(const std::string& model) {
  fs::copy(data_folder() / "models" / model, path(), fs::copy_options::recursive);
}

void ModelFolder::write(const std::string& name, std::string_view bytes) const {
  std::ofstream out(path() / name, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  EXPECT_TRUE(out) << name;
}

void ModelFolder::edit_json(const std::string& name, const std::function<void(nlohmann::json&)>& edit) const {
  auto json = nlohmann::json::parse(read_bytes(path() / name));
  edit(json);
  write(name, json.dump(2));
}

void ModelFolder::edit_weights(const std::function<void(nlohmann::json&, std::string&)>& edit) const {
  const std::string bytes = read_bytes(path() / "model.safetensors");
  std::uint64_t length = 0;
  for (unsigned i = 0; i < 8; ++i)
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  auto header = nlohmann::json::parse(bytes.substr(8, length));
  std::string data = bytes.substr(8 + length);
  edit(header, data);
  write("model.safetensors", safetensors_bytes(header, data));
}

}  // namespace expertscope::testing
