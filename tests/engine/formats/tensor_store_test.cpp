// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/tensor_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/model_folder.h"
#include "tests/support/open_store.h"

namespace expertscope {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ModelFolder;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kIndex = "model.safetensors.index.json";

std::string open_error(const ModelFolder& folder) {
  const auto store = testing::open_store(folder.path());
  EXPECT_FALSE(store);
  return store ? "" : store.error().message;
}

TEST(TensorStore, OpensOneFile) {
  const auto store = testing::open_store(testing::data_folder() / "models" / "top1");
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(store->tensor_count(), 45);
  EXPECT_EQ(store->total_bytes(), 190336);
  const auto* tensor = store->find("model.layers.1.mlp.gate.weight");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(4, 32));
  EXPECT_EQ(store->find("model.layers.2.mlp.gate.weight"), nullptr);
}

TEST(TensorStore, OpensShardsAndReportsEach) {
  std::vector<std::string> seen;
  const auto progress = [&](const std::string& file, std::size_t done, std::size_t total) {
    EXPECT_EQ(done, seen.size());
    EXPECT_EQ(total, 3u);
    seen.push_back(file);
  };
  const auto store = testing::open_store(testing::data_folder() / "models" / "sharded", progress);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(store->tensor_count(), 69);
  EXPECT_THAT(seen, ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                "model-00003-of-00003.safetensors"));
}

TEST(TensorStore, StopsBetweenShardsWhenAsked) {
  std::stop_source stop;
  const auto progress = [&](const std::string&, std::size_t, std::size_t) { stop.request_stop(); };
  const auto store =
      testing::open_store(testing::data_folder() / "models" / "sharded", progress, stop.get_token());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::cancelled);
}

TEST(TensorStore, NamesAMissingShard) {
  const ModelFolder folder("sharded");
  fs::remove(folder / "model-00002-of-00003.safetensors");
  const auto message = open_error(folder);
  EXPECT_THAT(message,
              HasSubstr((folder / "model-00002-of-00003.safetensors").string() + ": this shard is missing"));
}

TEST(TensorStore, NamesATensorThatItsShardLacks) {
  const ModelFolder folder("sharded");
  folder.edit_json(kIndex,
                   [](Json& index) { index["weight_map"]["ghost"] = "model-00001-of-00003.safetensors"; });
  EXPECT_THAT(open_error(folder),
              HasSubstr("model-00001-of-00003.safetensors: tensor ghost is not in this shard"));
}

TEST(TensorStore, AnIndexCannotPointOutsideItsFolder) {
  for (const char* shard : {"../model.safetensors", "/etc/passwd", "a/b", "..", "", "a\\b"}) {
    const ModelFolder folder;
    folder.write(kIndex, Json{{"weight_map", {{"a", shard}}}}.dump());
    EXPECT_THAT(open_error(folder), HasSubstr("weight_map.a: ")) << shard;
    EXPECT_THAT(open_error(folder), HasSubstr("is not the name of a file in this folder")) << shard;
  }
}

TEST(TensorStore, ADamagedIndexIsRefused) {
  const ModelFolder folder;
  folder.write(kIndex, "{\"weight_map\": ");
  EXPECT_THAT(open_error(folder), HasSubstr("index.json: not valid JSON at line 1"));
  folder.write(kIndex, "{}");
  EXPECT_THAT(open_error(folder), HasSubstr("weight_map: this field is missing"));
  folder.write(kIndex, R"({"weight_map": {}})");
  EXPECT_THAT(open_error(folder), HasSubstr("no tensor is listed"));
  folder.write(kIndex, R"({"weight_map": {"a": 1}})");
  EXPECT_THAT(open_error(folder), HasSubstr("weight_map.a: expected a string, found 1"));
  folder.write(kIndex, R"({"weight_map": {"a": "x", "a": "y"}})");
  EXPECT_THAT(open_error(folder), HasSubstr("\"a\" is there twice"));
}

TEST(TensorStore, AShardMayBeWrittenAsAFileOfThisFolder) {
  const ModelFolder folder("sharded");
  folder.edit_json(kIndex, [](Json& index) {
    for (auto& shard : index["weight_map"])
      shard = "./" + shard.get<std::string>();
  });
  const auto store = testing::open_store(folder.path());
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(store->tensor_count(), 69);
}

TEST(TensorStore, KnowsAllItsTensorsByName) {
  const auto store = testing::open_store(testing::data_folder() / "models" / "sharded");
  ASSERT_TRUE(store);
  const auto tensors = store->tensors();
  ASSERT_EQ(tensors.size(), 69u);
  for (const auto& tensor : tensors)
    EXPECT_EQ(store->find(tensor.name), &tensor);
  EXPECT_TRUE(std::is_sorted(tensors.begin(), tensors.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
}

/// What is said of a folder with one file of this name.
std::string said_of(const char* name) {
  const ModelFolder folder;
  folder.write(name, "");
  return open_error(folder);
}

TEST(TensorStore, SaysWhatAFolderWithoutSafetensorsHolds) {
  EXPECT_THAT(open_error(ModelFolder()),
              HasSubstr("neither model.safetensors nor model.safetensors.index.json is there"));
  for (const char* pickle :
       {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth", "x.pt"})
    EXPECT_THAT(said_of(pickle), HasSubstr(std::string(pickle) + " is a PyTorch pickle, which can run code"));
  EXPECT_THAT(said_of("model-q4.gguf"),
              HasSubstr("model-q4.gguf is a GGUF file, which is a whole model; open the file itself"));
  EXPECT_THAT(said_of("tf_model.h5"), HasSubstr("tf_model.h5 is not read; save the model as safetensors"));
  EXPECT_THAT(said_of("adapter_model.safetensors"),
              HasSubstr("this is a LoRA adapter (PEFT): merge it into its base model with"));
  EXPECT_THAT(said_of("model-00002-of-00003.safetensors"),
              HasSubstr("model-00002-of-00003.safetensors is a part of the weights, but "
                        "model.safetensors.index.json is not there; download it too"));
  EXPECT_THAT(said_of("weights.safetensors"),
              HasSubstr("the weights are looked for in model.safetensors, or in what "
                        "model.safetensors.index.json lists, and not in weights.safetensors"));
}

TEST(TensorStore, FollowsTheLinksOfAHuggingFaceCache) {
  const ModelFolder source("sharded");
  const ModelFolder cache;
  const auto snapshot = cache / "models--org--repo" / "snapshots" / "0123abcd";
  fs::create_directories(snapshot);
  fs::create_directories(cache / "models--org--repo" / "blobs");
  int blob = 0;
  for (const auto& file : fs::directory_iterator(source.path())) {
    const auto target = cache / "models--org--repo" / "blobs" / std::to_string(blob++);
    fs::copy(file.path(), target);
    fs::create_symlink(fs::path("../../blobs") / target.filename(), snapshot / file.path().filename());
  }
  const auto store = testing::open_store(snapshot);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ(store->tensor_count(), 69);
  fs::remove_all(cache / "models--org--repo" / "blobs");
  const auto broken = testing::open_store(snapshot);
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message,
              HasSubstr("a link to a file that is not there (is the download complete?)"));
}

}  // namespace
}  // namespace expertscope
