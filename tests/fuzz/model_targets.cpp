// SPDX-License-Identifier: GPL-3.0-or-later
// Files of a model folder, but for those of its tokenizer.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>

#include "engine/formats/gguf.h"
#include "engine/formats/safetensors.h"
#include "engine/model/config_reader.h"
#include "engine/model/model.h"
#include "engine/run/routing_policy.h"
#include "engine/text/gguf_tokenizer.h"
#include "engine/text/tokenizer.h"
#include "tests/fuzz/targets.h"
#include "tests/support/model_shape.h"
#include "tests/support/open_store.h"

namespace expertscope::testing {
namespace {

/// A file with the tensors of these names, one f32 each.
void put_shard(const std::string& file, const std::vector<std::string>& tensors) {
  std::string header = "{";
  for (std::size_t i = 0; i < tensors.size(); ++i)
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}})", i > 0 ? "," : "",
                          tensors[i], 4 * i, 4 * i + 4);
  header += "}";
  const std::string length = {
      static_cast<char>(header.size()), static_cast<char>(header.size() >> 8), 0, 0, 0, 0, 0, 0};
  put_file(file, length + header + std::string(4 * tensors.size(), 'w'));
}

ModelConfig small_model() {
  testing::ModelShape config;
  config.num_hidden_layers = 3;
  config.num_experts = 8;
  config.num_experts_per_tok = 2;
  config.moe_layer = {1, 0, 1};
  return config;
}

}  // namespace

bool fuzz_safetensors(std::string_view input) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(input.data());
  const auto entries = parse_safetensors(bytes, input.size(), "model.safetensors");
  if (!opened(entries)) return false;
  std::uint64_t total = 0;
  for (const auto& entry : *entries) {
    ensure(entry.offset == total, "data of tensors overlap or leave a hole");
    total += entry.bytes;
    ensure(total <= input.size(), "data of a tensor lie outside the file");
  }
  return true;
}

bool fuzz_gguf(std::string_view input) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(input.data());
  const auto header = parse_gguf(bytes, input.size(), "model.gguf");
  const auto file = put_file("model.gguf", input);
  const auto model = Model::open(file);
  if (opened(model)) (void)(*model)->check_finite();
  if (!opened(header)) return false;
  std::uint64_t end = header->bytes;
  std::vector<SourceTensor> tensors;
  for (const auto& tensor : header->tensors) {
    ensure(tensor.bytes == 0 || tensor.offset >= end, "data of tensors overlap");
    end = std::max(end, tensor.offset + tensor.bytes);
    ensure(end <= input.size() || tensor.bytes == 0, "data of a tensor lie outside the file");
    tensors.push_back({tensor.name, std::string(tensor.format), tensor.shape, bytes, tensor.bytes, &file});
  }
  const auto config = parse_gguf_config(header->metadata, tensors, "model.gguf");
  if (opened(config)) ensure(config->config.num_moe_layers() > 0, "layers");
  const auto json = gguf_tokenizer(header->metadata, "model.gguf");
  if (!opened(json)) return true;
  const auto tokenizer = Tokenizer::parse(*json, "model.gguf", {});
  if (opened(tokenizer)) (void)opened((*tokenizer)->encode("Routers <s> 路由"));
  return true;
}

bool fuzz_index(std::string_view input) {
  static const bool shards = [] {
    put_shard("model-00001-of-00002.safetensors", {"a", "b"});
    put_shard("model-00002-of-00002.safetensors", {"c"});
    return true;
  }();
  const auto file = put_file("model.safetensors.index.json", input);
  const auto store = open_store(file.parent_path());
  if (!opened(store)) return false;
  ensure(shards && store->tensor_count() <= 3, "tensors that no shard has");
  for (const char* name : {"a", "b", "c"}) {
    const SourceTensor* tensor = store->find(name);
    ensure(tensor == nullptr || *tensor->data == 'w', "data of a tensor lie elsewhere");
  }
  return true;
}

/// Whose weights configs are read with: those of their model_type, or others.
constexpr std::string_view kModels[] = {"top1",        "gpt_oss_mxfp4", "qwen3_next",    "qwen3_5_moe",
                                        "deepseek_v2", "deepseek_v3",   "glm4_moe_lite", "gemma4",
                                        "int4",        "gptq",          "awq",           "nvfp4"};

std::string weights_for(const ModelConfig& config, Quantization::Packing packing) {
  const std::string& type = config.model_type;
  if (std::find(std::begin(kModels), std::end(kModels), type) != std::end(kModels)) return type;
  if (type == "gpt_oss") return "gpt_oss_mxfp4";
  if (type == "gemma4_text") return "gemma4";
  switch (packing) {
    case Quantization::Packing::rows:
      return config.hidden_size == 48 ? "nvfp4" : "int4";
    case Quantization::Packing::gptq:
      return "gptq";
    case Quantization::Packing::awq:
      return "awq";
    case Quantization::Packing::none:
      break;
  }
  return "top1";
}

bool fuzz_config(std::string_view input) {
  static const bool weights = [] {
    for (const std::string_view name : kModels) {
      const std::string model(name);
      std::filesystem::create_directory(fuzz_folder() / model);
      std::filesystem::create_symlink(
          EXPERTSCOPE_SOURCE_DIR "/tests/data/models/" + model + "/model.safetensors",
          fuzz_folder() / model / "model.safetensors");
    }
    return true;
  }();
  const auto [text, generation] = two_texts(input);
  auto parsed = parse_config(text, "config.json");
  if (!opened(parsed)) return false;
  const ModelConfig& config = parsed->config;
  ensure(weights && config.num_moe_layers() > 0, "layers");
  for (const LayerSpec& layer : config.layers) {
    const AttentionSpec& attention = layer.attention;
    ensure(layer.router.top_k <= layer.router.experts, "experts");
    const DeltaNetSpec& delta = layer.delta_net;
    if (layer.mixer == MixerKind::attention)
      ensure(attention.kv_heads > 0 && attention.heads % attention.kv_heads == 0, "heads");
    else
      ensure(delta.key_heads > 0 && delta.value_heads % delta.key_heads == 0 && delta.taps > 0, "a DeltaNet");
    ensure(attention.rotary.width % 2 == 0 && attention.rotary.width <= attention.head_dim, "rotary");
  }
  apply_generation_config(generation, "generation_config.json", *parsed);
  const std::string folder = weights_for(config, parsed->quantization.packing);
  put_file(folder + "/config.json", text);
  put_file(folder + "/generation_config.json", generation);
  const auto model = Model::open(fuzz_folder() / folder);
  if (opened(model)) (void)(*model)->check_finite();
  return true;
}

bool fuzz_policy(std::string_view input) {
  const auto policy = RoutingPolicy::from_json(input, "policy.json");
  if (!opened(policy)) return false;
  for (const auto& edit : policy->edits)
    ensure(!edit.describe().empty(), "an edit without a description");
  const std::string written = policy->to_json();
  const auto again = RoutingPolicy::from_json(written, "policy.json");
  ensure(again && again->to_json() == written, "a policy that is not what it was after writing");
  ensure(RoutingPolicy::from_json(policy->to_text(), "policy.json").has_value(), "the same, as a file");
  return opened(policy->compile(small_model()));
}

}  // namespace expertscope::testing
