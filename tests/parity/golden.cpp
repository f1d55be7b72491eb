// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/parity/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <stdexcept>

#include "tests/parity/session.h"

namespace expertscope::parity {
namespace {

template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

template <class T>
std::vector<T> copy(const SafetensorsFile& file, const TensorEntry& entry) {
  std::vector<T> values(entry.bytes / sizeof(T));
  std::memcpy(values.data(), file.data(entry), entry.bytes);
  return values;
}

/// The models whose goldens have `what`; there are some.
std::vector<std::string> models_with(const char* what) {
  std::vector<std::string> models;
  for (const auto& folder : std::filesystem::directory_iterator(data_folder() / "golden")) {
    if (std::filesystem::exists(folder.path() / what)) models.push_back(folder.path().filename());
  }
  if (models.empty()) throw std::runtime_error("no goldens with " + std::string(what));
  std::sort(models.begin(), models.end());
  return models;
}

}  // namespace

GoldenFile::GoldenFile(const std::filesystem::path& file)
    : file_(value_or_throw(SafetensorsFile::open(file))) {}

const TensorEntry* GoldenFile::entry(const std::string& name) const {
  for (const TensorEntry& tensor : file_.tensors()) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

std::vector<float> GoldenFile::floats(const std::string& name) const {
  const TensorEntry* tensor = entry(name);
  if (tensor == nullptr || tensor->dtype != "F32") throw std::runtime_error("no F32 tensor " + name);
  return copy<float>(file_, *tensor);
}

std::vector<std::int32_t> GoldenFile::ints(const std::string& name) const {
  const TensorEntry* tensor = entry(name);
  if (tensor == nullptr || tensor->dtype != "I32") throw std::runtime_error("no I32 tensor " + name);
  return copy<std::int32_t>(file_, *tensor);
}

int GoldenFile::columns(const std::string& name) const {
  const TensorEntry* tensor = entry(name);
  if (tensor == nullptr || tensor->shape.empty()) throw std::runtime_error("no tensor " + name);
  return static_cast<int>(tensor->shape.back());
}

std::filesystem::path data_folder() {
  // A bundle that was carried to another machine says where its copy is.
  if (const char* folder = std::getenv("EXPERTSCOPE_TEST_DATA"); folder != nullptr) return folder;
  return std::filesystem::path(EXPERTSCOPE_SOURCE_DIR) / "tests" / "data";
}

GoldenFile golden(const std::string& model, int length) {
  return GoldenFile(data_folder() / "golden" / model / ("t" + std::to_string(length) + ".safetensors"));
}

nlohmann::json read_json(const std::filesystem::path& file) {
  std::ifstream in(file);
  return nlohmann::json::parse(in);
}

nlohmann::json meta(const std::string& model) {
  return read_json(data_folder() / "golden" / model / "meta.json");
}

std::shared_ptr<const Model> open_model(const std::string& model) {
  return value_or_throw(Model::open(data_folder() / "models" / model));
}

const std::vector<std::string>& all_models() {
  static const std::vector<std::string> models = [] {
    std::vector<std::string> all = models_with("t300.safetensors");
    // These differ from others in how they are read; an emulated backend, which is slow, runs the others.
    static const std::set<std::string> kReadOtherwise = {
        "awq",     "fp8_channel",   "flex_olmo_v5", "glm4_moe_lite",    "gpt_oss_bf16",
        "gptq",    "linear_rope",   "llama3_rope",  "mixtral_v5_fused", "olmoe_bias",
        "sharded", "tied_own_head", "v5_default",   "v5_fused",         "yarn"};
    if (is_emulated()) std::erase_if(all, [](const auto& name) { return kReadOtherwise.contains(name); });
    return all;
  }();
  return models;
}

const std::vector<std::string>& intervention_models() {
  static const std::vector<std::string> models = models_with("interventions");
  return models;
}

void expect_close(std::span<const float> actual, std::span<const float> expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double largest = 0;
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (difference <= worst) continue;
    worst = difference;
    where = i;
  }
  for (const float value : actual)
    ASSERT_TRUE(std::isfinite(value)) << what;
  EXPECT_LE(worst, tolerance * largest)
      << what << ": element " << where << " is " << actual[where] << ", not " << expected[where]
      << "; the largest magnitude is " << largest;
}

}  // namespace expertscope::parity
