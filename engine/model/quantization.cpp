// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/quantization.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/config_keys.h"

namespace expertscope {
namespace {

/// Columns of a block of FP8 are whole steps of every kernel.
constexpr std::int64_t kF8Step = 16;

/// Formats of compressed-tensors that are read.
std::vector<Json> compressed_formats() {
  return {"dense",          "float-quantized",      "naive-quantized",
          "pack-quantized", "nvfp4-pack-quantized", "mixed-precision"};
}

/// What the groups of a config say of their weights.
struct CompressedGroups {
  Quantization& quantization;
  bool symmetric = false;   ///< some integers
  bool asymmetric = false;  ///< some integers
};

/// How the weights were quantised, as people call it.
std::string quantiser(const JsonFields& quantization) {
  const auto method = quantization.string_or("quant_method", "").value_or("");
  struct Known {
    std::string_view method;
    const char* name;
  };
  constexpr Known kKnown[] = {{"bitsandbytes", "bitsandbytes"},
                              {"hqq", "HQQ"},
                              {"eetq", "EETQ"},
                              {"quark", "Quark"},
                              {"aqlm", "AQLM"},
                              {"vptq", "VPTQ"},
                              {"quanto", "Quanto"},
                              {"higgs", "HIGGS"},
                              {"torchao", "torchao"},
                              {"auto-round", "AutoRound"},
                              {"spqr", "SpQR"}};
  for (const auto& known : kKnown)
    if (method == known.method) return known.name;
  if (!method.empty()) return json_excerpt(method);
  if (quantization.has("load_in_4bit") || quantization.has("load_in_8bit")) return "bitsandbytes";
  if (quantization.has("group_size") && quantization.has("bits")) return "MLX";
  return "in a way that is not named";
}

/// [rows, cols] of a block of FP8.
void read_block(ConfigKeys& keys, const char* key, ScaleBlock& block) {
  const auto extents = keys.integers({key});
  if (extents.empty() || !keys.status()) return;
  const bool good = extents.size() == 2 && extents[0] > 0 && extents[1] > 0 && extents[1] % kF8Step == 0 &&
                    std::max(extents[0], extents[1]) <= ConfigKeys::kMaxWidth;
  if (!good)
    return keys.refuse(ErrorCode::unsupported, key,
                       fmt::format("blocks of {} are not supported: columns must be a multiple of {}",
                                   fmt::join(extents, " x "), kF8Step));
  block = {extents[0], extents[1]};
}

/// E4M3 as transformers' FineGrainedFP8Config and FbgemmFp8Config, AutoFP8 and vLLM have it: scales of
/// blocks, of rows or of whole tensors.
Status read_fp8(const JsonFields& fields, Quantization& quantization) {
  ConfigKeys keys(fields);
  keys.ignore({"quant_method", "modules_to_not_convert", "ignored_layers", "dequantize",
               "activation_scale_ub", "activation_scheme", "kv_cache_scheme", "scale_fmt",
               "is_checkpoint_fp8_serialized"});
  keys.only("fmt", {"e4m3", "float8_e4m3fn"}, "only E4M3 is supported");
  read_block(keys, "weight_block_size", quantization.f8_block);
  return keys.finish();
}

/// MXFP4 as transformers' Mxfp4Config has it. `dequantize` says what transformers does with them.
Status read_mxfp4(const JsonFields& fields) {
  ConfigKeys keys(fields);
  keys.ignore({"quant_method", "modules_to_not_convert", "dequantize"});
  return keys.finish();
}

/// What a group of compressed-tensors says of its weights (QuantizationArgs).
Status read_compressed_weights(const JsonFields& fields, CompressedGroups& groups) {
  ConfigKeys keys(fields);
  keys.ignore({"observer", "observer_kwargs", "group_size", "scale_dtype", "zp_dtype"});
  keys.only("type", {"float", "int"});
  const bool floats = keys.text({"type"}, "int") == "float";
  if (floats) {
    const bool nvfp4 = keys.text({"strategy"}, "") == "tensor_group";
    keys.only("num_bits", {nvfp4 ? 4 : 8}, "only 8 bits (E4M3), and 4 in groups of 16 (NVFP4), are");
    if (nvfp4) keys.only("group_size", {16}, "only groups of 16 of 4 bits (NVFP4) are");
    keys.only("strategy", {"tensor", "channel", "block", "tensor_group"},
              "only scales of tensors, channels, blocks and groups of 16 (NVFP4) are");
  } else {
    keys.only("num_bits", {4, 8}, "only 4 and 8 bits are");
    keys.only("strategy", {"channel", "group"}, "only scales of channels and groups are");
  }
  keys.only("dynamic", {false});
  keys.only("actorder", {false, "static", "weight"}, "columns in another order are not");
  read_block(keys, "block_structure", groups.quantization.f8_block);
  const bool symmetric = keys.flag({"symmetric"}, true);
  if (!floats) (symmetric ? groups.symmetric : groups.asymmetric) = true;
  return keys.finish();
}

Status read_compressed_group(const JsonFields& fields, CompressedGroups& groups) {
  ConfigKeys keys(fields);
  keys.ignore({"targets", "input_activations", "output_activations"});
  keys.only("format", compressed_formats());
  const auto weights = keys.object("weights");
  if (weights) keys.fail(read_compressed_weights(*weights, groups));
  return keys.finish();
}

/// The format of llm-compressor (QuantizationConfig of the package compressed-tensors, 0.20).
Status read_compressed(const JsonFields& fields, Quantization& quantization) {
  ConfigKeys keys(fields);
  keys.ignore({"quant_method", "ignore", "version", "global_compression_ratio", "kv_cache_scheme"});
  keys.only("format", compressed_formats());
  keys.only("quantization_status", {"compressed", "frozen"});
  keys.only("transform_config", {Json::object()}, "rotated weights are not supported");
  if (const auto sparsity = keys.object("sparsity_config")) {
    ConfigKeys sparse(*sparsity);
    sparse.ignore(
        {"global_sparsity", "ignore", "registry_requires_subclass", "sparsity_structure", "targets"});
    sparse.only("format", {"dense"}, "sparse weights are not supported");
    keys.fail(sparse.finish());
  }
  CompressedGroups all{quantization};
  const auto groups = keys.object("config_groups");
  for (const std::string& name : groups ? groups->keys() : std::vector<std::string>()) {
    const auto group = groups->object(name);
    if (!group) return forward_error(group);
    if (auto ok = read_compressed_group(*group, all); !ok) return ok;
  }
  quantization.packing = Quantization::Packing::rows;
  quantization.zero_points = all.asymmetric && !all.symmetric;
  return keys.finish();
}

/// What NVIDIA's ModelOpt exports: FP8 with a scale a tensor, NVFP4, or some layers in each.
Status read_modelopt(const JsonFields& fields) {
  ConfigKeys keys(fields);
  keys.ignore({"quant_method", "producer", "ignore", "exclude_modules", "kv_cache_scheme",
               "kv_cache_quant_algo", "group_size", "config_groups", "quantized_layers", "has_zero_point",
               "pre_quant_scale"});
  keys.only("quant_algo", {"FP8", "NVFP4", "W4A16_NVFP4", "MIXED_PRECISION"});
  return keys.finish();
}

/// AutoGPTQ and GPTQModel, as transformers' GPTQConfig has it. Which modules `dynamic` leaves out the tensors
/// say.
Status read_gptq(const JsonFields& fields, Quantization& quantization) {
  ConfigKeys keys(fields);
  keys.ignore({"quant_method",
               "group_size",
               "sym",
               "damp_percent",
               "damp_auto_increment",
               "static_groups",
               "true_sequential",
               "model_name_or_path",
               "model_file_base_name",
               "meta",
               "dynamic",
               "lm_head",
               "dataset",
               "tokenizer",
               "batch_size",
               "block_name_to_quantize",
               "module_name_preceding_first_block",
               "modules_in_block_to_quantize",
               "modules_to_not_convert",
               "pad_token_id",
               "model_seqlen",
               "max_input_length",
               "groupsize",
               "actorder",
               "mse",
               "use_cuda_fp16",
               "use_exllama",
               "exllama_config",
               "disable_exllama",
               "cache_block_outputs",
               "backend",
               "quantizer",
               "act_group_aware"});
  keys.only("bits", {4, 8}, "only 4 and 8 bits are");
  keys.only("checkpoint_format", {"gptq", "gptq_v2"});
  keys.only("format", {"gptq", "gptq_v2"});
  keys.only("pack_dtype", {"int32"});
  keys.only("is_marlin_format", {false});
  const char* format = keys.has({"checkpoint_format"}) ? "checkpoint_format" : "format";
  quantization.packing = Quantization::Packing::gptq;
  quantization.zero_points = true;
  quantization.zeros_less_one = keys.text({format}, "gptq") == "gptq";
  quantization.reordered = keys.flag({"desc_act"}, false);
  return keys.finish();
}

/// AutoAWQ, as transformers' AwqConfig has it.
Status read_awq(const JsonFields& fields, Quantization& quantization) {
  ConfigKeys keys(fields);
  keys.ignore({"quant_method", "group_size", "q_group_size", "modules_to_not_convert", "backend", "do_fuse",
               "fuse_max_seq_len", "modules_to_fuse", "exllama_config"});
  keys.only("bits", {4}, "only 4 bits are");
  keys.only("w_bit", {4}, "only 4 bits are");
  keys.only("version", {"gemm", "GEMM"}, "only \"gemm\" is");
  keys.only("format", {"gemm", "GEMM"}, "only \"gemm\" is");
  keys.only("zero_point", {true}, "weights without zero points are not");
  quantization.packing = Quantization::Packing::awq;
  quantization.zero_points = true;
  return keys.finish();
}

Status read_method(const JsonFields& config, const char* key, Quantization& quantization) {
  const auto fields = config.object(key);
  if (!fields) return forward_error(fields);
  const auto method = fields->string_or("quant_method", "").value_or("");
  if (method == "fp8" || method == "fbgemm_fp8") return read_fp8(*fields, quantization);
  if (method == "mxfp4") return read_mxfp4(*fields);
  if (method == "compressed-tensors") return read_compressed(*fields, quantization);
  if (method == "modelopt" || method == "modelopt_fp4") return read_modelopt(*fields);
  if (method == "gptq") return read_gptq(*fields, quantization);
  if (method == "awq") return read_awq(*fields, quantization);
  return config.error(
      ErrorCode::unsupported, key,
      fmt::format("the weights are quantised ({}), which is not supported; open the folder of the "
                  "original model, or one in FP8, MXFP4, NVFP4, GPTQ, AWQ or compressed-tensors",
                  quantiser(*fields)));
}

}  // namespace

Result<Quantization> read_quantization(const JsonFields& config) {
  Quantization quantization;
  for (const char* key : {"quantization_config", "quantization", "compression_config"}) {
    if (!config.has(key)) continue;
    if (auto ok = read_method(config, key, quantization); !ok) return forward_error(ok);
  }
  return quantization;
}

}  // namespace expertscope
