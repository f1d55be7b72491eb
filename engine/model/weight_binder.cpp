// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weight_binder.h"

#include <cstring>
#include <optional>

namespace expertscope {
namespace {

/// Misaligned tensors are copied up to this size; beyond it the file is refused instead of filling memory.
constexpr std::int64_t kMaxCopiedBytes = std::int64_t{2} << 30;

std::optional<DType> weight_type(const std::string& name) {
  for (const auto type : {DType::f32, DType::f16, DType::bf16})
    if (name == dtype_name(type)) return type;
  return std::nullopt;
}

float element(const std::uint8_t* data, DType dtype, std::size_t index) {
  if (dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, data + index * sizeof(value), sizeof(value));
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, data + index * sizeof(half), sizeof(half));
  return dtype == DType::f16 ? f16_to_f32(half) : bf16_to_f32(half);
}

/// Reads both up to the first difference.
Result<bool> same_elements(const Matrix& a, const Matrix& b, const std::stop_token& stop) {
  if (a.dtype != b.dtype) return false;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "Comparing the embeddings was cancelled");
    if (std::memcmp(a.row(row), b.row(row), a.row_bytes()) != 0) return false;
  }
  return true;
}

std::string weight(std::string_view projection) {
  return std::string(projection) + ".weight";
}

}  // namespace

Result<const StoredTensor*> WeightBinder::find(const std::string& name, const Shape& shape) {
  const auto* tensor = store_.find(name);
  if (tensor == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} {} is missing", store_.folder().string(), name,
                shape_text(shape));
  const auto& file = tensor->file->path();
  if (tensor->entry->shape != shape)
    return fail(ErrorCode::mismatch, "{}: tensor {} has shape {}, but config.json asks for {}", file.string(),
                name, shape_text(tensor->entry->shape), shape_text(shape));
  if (!weight_type(tensor->entry->dtype))
    return fail(ErrorCode::unsupported, "{}: tensor {} is {}; weights must be F32, F16 or BF16",
                file.string(), name, tensor->entry->dtype);
  used_[static_cast<std::size_t>(tensor - store_.tensors().data())] = 1;
  return tensor;
}

Result<const void*> WeightBinder::aligned(const StoredTensor& tensor, DType dtype) {
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % dtype_size(dtype) == 0)
    return static_cast<const void*>(tensor.data);
  copied_bytes_ += static_cast<std::int64_t>(tensor.entry->bytes);
  if (copied_bytes_ > kMaxCopiedBytes)
    return fail(ErrorCode::unsupported,
                "{}: tensor {} does not start at a multiple of {} bytes and is too large to copy; "
                "save the model again with a current safetensors",
                tensor.file->path().string(), tensor.entry->name, dtype_size(dtype));
  copies_.push_back(std::make_unique<std::byte[]>(tensor.entry->bytes));
  std::memcpy(copies_.back().get(), tensor.data, tensor.entry->bytes);
  return static_cast<const void*>(copies_.back().get());
}

Status WeightBinder::matrix(const std::string& name, std::int64_t rows, std::int64_t cols, Matrix& out) {
  const auto tensor = find(name, {rows, cols});
  if (!tensor) return forward_error(tensor);
  const auto dtype = *weight_type((*tensor)->entry->dtype);
  const auto data = aligned(**tensor, dtype);
  if (!data) return forward_error(data);
  out = Matrix{*data, dtype, rows, cols};
  return {};
}

Status WeightBinder::stack(const std::string& name, std::int64_t rows, std::int64_t cols, Matrix& whole) {
  const auto tensor = find(name, {config_.num_experts, rows, cols});
  if (!tensor) return forward_error(tensor);
  const auto dtype = *weight_type((*tensor)->entry->dtype);
  const auto data = aligned(**tensor, dtype);
  if (!data) return forward_error(data);
  whole = Matrix{*data, dtype, config_.num_experts * rows, cols};
  return {};
}

Status WeightBinder::vector(const std::string& name, std::int64_t size, Vector& out) {
  const auto tensor = find(name, {size});
  if (!tensor) return forward_error(tensor);
  const auto dtype = *weight_type((*tensor)->entry->dtype);
  out.resize(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = element((*tensor)->data, dtype, i);
  return {};
}

Status WeightBinder::bias(const std::string& projection, std::int64_t size, Vector& out) {
  return config_.attention_bias ? vector(projection + ".bias", size, out) : Status{};
}

Status WeightBinder::bind_tied(Weights& weights, const std::stop_token& stop) {
  const bool embedding = store_.find(names_.embed_tokens) != nullptr;
  const bool head = store_.find(names_.lm_head) != nullptr;
  const std::int64_t vocab = config_.vocab_size;
  const std::int64_t hidden = config_.hidden_size;
  Status ok =
      matrix(head && !embedding ? names_.lm_head : names_.embed_tokens, vocab, hidden, weights.embed_tokens);
  weights.lm_head = weights.embed_tokens;
  if (!ok || !head || !embedding) return ok;
  Matrix own;
  ok = matrix(names_.lm_head, vocab, hidden, own);
  const auto same = ok ? same_elements(own, weights.embed_tokens, stop) : Result<bool>(true);
  if (!same) return forward_error(same);
  if (!*same) weights.lm_head = own;
  return ok;
}

Status WeightBinder::bind_ends(Weights& weights, const std::stop_token& stop) {
  const std::int64_t vocab = config_.vocab_size;
  const std::int64_t hidden = config_.hidden_size;
  if (auto ok = vector(names_.norm, hidden, weights.norm); !ok) return ok;
  if (config_.tie_word_embeddings) return bind_tied(weights, stop);
  if (auto ok = matrix(names_.embed_tokens, vocab, hidden, weights.embed_tokens); !ok) return ok;
  if (store_.find(names_.lm_head) == nullptr)
    return fail(ErrorCode::mismatch,
                "{}: tensor {} is missing, and config.json says tie_word_embeddings: false",
                store_.folder().string(), names_.lm_head);
  return matrix(names_.lm_head, vocab, hidden, weights.lm_head);
}

Status WeightBinder::bind_attention(int index, LayerWeights& layer) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t queries = std::int64_t{config_.num_attention_heads} * config_.head_dim;
  const std::int64_t keys = std::int64_t{config_.num_key_value_heads} * config_.head_dim;
  const std::string q = tensor_name(names_.q_proj, index);
  const std::string k = tensor_name(names_.k_proj, index);
  const std::string v = tensor_name(names_.v_proj, index);
  const std::string o = tensor_name(names_.o_proj, index);
  Status ok = matrix(weight(q), queries, hidden, layer.q_proj);
  if (ok) ok = matrix(weight(k), keys, hidden, layer.k_proj);
  if (ok) ok = matrix(weight(v), keys, hidden, layer.v_proj);
  if (ok) ok = matrix(weight(o), hidden, queries, layer.o_proj);
  if (ok) ok = bias(q, queries, layer.q_bias);
  if (ok) ok = bias(k, keys, layer.k_bias);
  if (ok) ok = bias(v, keys, layer.v_bias);
  if (ok) ok = bias(o, hidden, layer.o_bias);
  if (ok && switches_.qk_norm) ok = vector(tensor_name(names_.q_norm, index), config_.head_dim, layer.q_norm);
  if (ok && switches_.qk_norm) ok = vector(tensor_name(names_.k_norm, index), config_.head_dim, layer.k_norm);
  return ok;
}

Status WeightBinder::bind_fused_experts(int index, LayerWeights& layer) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t width = config_.moe_intermediate_size;
  Matrix gate_up;
  Matrix down;
  Status ok = stack(tensor_name(names_.fused_gate_up_proj, index), 2 * width, hidden, gate_up);
  if (ok) ok = stack(tensor_name(names_.fused_down_proj, index), hidden, width, down);
  if (!ok) return ok;
  layer.experts.resize(static_cast<std::size_t>(config_.num_experts));
  for (std::int64_t e = 0; e < config_.num_experts; ++e) {
    auto& expert = layer.experts[static_cast<std::size_t>(e)];
    expert.gate_proj = Matrix{gate_up.row(2 * width * e), gate_up.dtype, width, hidden};
    expert.up_proj = Matrix{gate_up.row(2 * width * e + width), gate_up.dtype, width, hidden};
    expert.down_proj = Matrix{down.row(hidden * e), down.dtype, hidden, width};
  }
  return {};
}

Status WeightBinder::bind_experts(int index, LayerWeights& layer) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t width = config_.moe_intermediate_size;
  Status ok = matrix(weight(tensor_name(names_.router, index)), config_.num_experts, hidden, layer.router);
  if (!ok) return ok;
  if (names_.fused_gate_up_proj != nullptr &&
      store_.find(tensor_name(names_.fused_gate_up_proj, index)) != nullptr)
    return bind_fused_experts(index, layer);
  layer.experts.reserve(static_cast<std::size_t>(std::min(config_.num_experts, 1024)));
  for (int e = 0; ok && e < config_.num_experts; ++e) {
    auto& expert = layer.experts.emplace_back();
    ok = matrix(weight(tensor_name(names_.expert_gate_proj, index, e)), width, hidden, expert.gate_proj);
    if (ok) ok = matrix(weight(tensor_name(names_.expert_up_proj, index, e)), width, hidden, expert.up_proj);
    if (ok)
      ok = matrix(weight(tensor_name(names_.expert_down_proj, index, e)), hidden, width, expert.down_proj);
  }
  return ok;
}

Status WeightBinder::bind_layer(int index, LayerWeights& layer) {
  const std::int64_t hidden = config_.hidden_size;
  Status ok = vector(tensor_name(names_.input_layernorm, index), hidden, layer.input_layernorm);
  if (ok) ok = bind_attention(index, layer);
  if (ok)
    ok = vector(tensor_name(names_.post_attention_layernorm, index), hidden, layer.post_attention_layernorm);
  if (!ok) return ok;
  if (config_.is_moe(index)) return bind_experts(index, layer);
  const std::int64_t width = config_.intermediate_size;
  ok = matrix(weight(tensor_name(names_.gate_proj, index)), width, hidden, layer.mlp.gate_proj);
  if (ok) ok = matrix(weight(tensor_name(names_.up_proj, index)), width, hidden, layer.mlp.up_proj);
  if (ok) ok = matrix(weight(tensor_name(names_.down_proj, index)), hidden, width, layer.mlp.down_proj);
  return ok;
}

}  // namespace expertscope
