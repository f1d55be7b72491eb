// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weight_binder.h"

#include <cstring>
#include <utility>

namespace expertscope {
namespace {

/// Misaligned tensors are copied up to this size; beyond it the file is refused instead of filling memory.
constexpr std::int64_t kMaxCopiedBytes = std::int64_t{2} << 30;

/// Reads both up to the first difference.
Result<bool> same_elements(const Matrix& a, const Matrix& b, const std::stop_token& stop) {
  if (a.format != b.format) return false;
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

Result<const SourceTensor*> WeightBinder::find(const std::string& name, const Shape& shape) {
  const auto* tensor = store_.find(name);
  if (tensor == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} {} is missing", store_.place().string(), name,
                shape_text(shape));
  const auto& file = *tensor->file;
  if (tensor->shape != shape)
    return fail(ErrorCode::mismatch, "{}: tensor {} has shape {}, but {} asks for {}", file.string(), name,
                shape_text(tensor->shape), store_.described_by(), shape_text(shape));
  const WeightFormat* format = find_weight_format(tensor->format);
  if (format == nullptr)
    return fail(ErrorCode::unsupported, "{}: tensor {} is {}; weights must be one of {}", file.string(), name,
                tensor->format, weight_format_names());
  if (format->block.bytes_of(shape) != tensor->bytes)
    return fail(ErrorCode::format, "{}: tensor {} {} of {} has {} bytes", file.string(), name,
                shape_text(shape), format->name, tensor->bytes);
  used_[static_cast<std::size_t>(tensor - store_.tensors().data())] = 1;
  return tensor;
}

Result<const void*> WeightBinder::aligned(const SourceTensor& tensor, const WeightFormat& format) {
  const std::size_t alignment = format.block.elements == 1 ? format.block.bytes : 1;
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % alignment == 0)
    return static_cast<const void*>(tensor.data);
  copied_bytes_ += static_cast<std::int64_t>(tensor.bytes);
  if (copied_bytes_ > kMaxCopiedBytes)
    return fail(ErrorCode::unsupported,
                "{}: tensor {} does not start at a multiple of {} bytes and is too large to copy; "
                "save the model again with a current safetensors",
                tensor.file->string(), tensor.name, alignment);
  copies_.push_back(std::make_unique<std::byte[]>(tensor.bytes));
  std::memcpy(copies_.back().get(), tensor.data, tensor.bytes);
  return static_cast<const void*>(copies_.back().get());
}

Result<Matrix> WeightBinder::view(const SourceTensor& tensor, std::int64_t rows, std::int64_t cols) {
  const WeightFormat& format = *find_weight_format(tensor.format);
  const auto data = aligned(tensor, format);
  if (!data) return forward_error(data);
  return Matrix{*data, &format, rows, cols};
}

Status WeightBinder::matrix(const std::string& name, std::int64_t rows, std::int64_t cols, Matrix& out) {
  const auto tensor = find(name, {rows, cols});
  if (!tensor) return forward_error(tensor);
  const auto matrix = view(**tensor, rows, cols);
  if (!matrix) return forward_error(matrix);
  out = *matrix;
  return {};
}

Status WeightBinder::stack(const std::string& name, std::int64_t experts, std::int64_t rows,
                           std::int64_t cols, Matrix& whole) {
  const auto tensor = find(name, {experts, rows, cols});
  if (!tensor) return forward_error(tensor);
  const auto matrix = view(**tensor, experts * rows, cols);
  if (!matrix) return forward_error(matrix);
  whole = *matrix;
  return {};
}

Status WeightBinder::vector(const std::string& name, std::int64_t size, Vector& out) {
  const auto tensor = find(name, {size});
  if (!tensor) return forward_error(tensor);
  out.resize(static_cast<std::size_t>(size));
  find_weight_format((*tensor)->format)->dequantise({(*tensor)->data}, 0, size, out.data());
  return {};
}

Status WeightBinder::norm(const NormSpec& spec, const std::string& name, std::int64_t size, Vector& out) {
  if (auto ok = vector(name, size, out); !ok) return ok;
  if (!spec.zero_centred) return {};
  for (float& value : out)
    value += 1.0f;
  return {};
}

Status WeightBinder::bias(bool there, const std::string& projection, std::int64_t size, Vector& out) {
  return there ? vector(projection + ".bias", size, out) : Status{};
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
  weights.names = names_;
  if (auto ok = norm(config_.norm, names_.norm, hidden, weights.norm); !ok) return ok;
  if (config_.tie_word_embeddings) return bind_tied(weights, stop);
  if (auto ok = matrix(names_.embed_tokens, vocab, hidden, weights.embed_tokens); !ok) return ok;
  if (store_.find(names_.lm_head) == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} is missing, and {} says tie_word_embeddings: false",
                store_.place().string(), names_.lm_head, store_.described_by());
  return matrix(names_.lm_head, vocab, hidden, weights.lm_head);
}

Status WeightBinder::bind_attention(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  const AttentionSpec& attention = spec.attention;
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t queries = attention.query_width();
  const std::int64_t keys = attention.key_width();
  const std::string q = tensor_name(names_.q_proj, index);
  const std::string k = tensor_name(names_.k_proj, index);
  const std::string v = tensor_name(names_.v_proj, index);
  const std::string o = tensor_name(names_.o_proj, index);
  Status ok = matrix(weight(q), queries, hidden, layer.q_proj);
  if (ok) ok = matrix(weight(k), keys, hidden, layer.k_proj);
  if (ok) ok = matrix(weight(v), keys, hidden, layer.v_proj);
  if (ok) ok = matrix(weight(o), hidden, queries, layer.o_proj);
  if (ok) ok = bias(attention.qkv_bias, q, queries, layer.q_bias);
  if (ok) ok = bias(attention.qkv_bias, k, keys, layer.k_bias);
  if (ok) ok = bias(attention.qkv_bias, v, keys, layer.v_bias);
  if (ok) ok = bias(attention.output_bias, o, hidden, layer.o_bias);
  if (!ok || attention.qk_norm == AttentionSpec::QkNorm::none) return ok;
  const bool head = attention.qk_norm == AttentionSpec::QkNorm::head;
  ok = norm(spec.norm, tensor_name(names_.q_norm, index), head ? attention.head_dim : queries, layer.q_norm);
  if (ok)
    ok = norm(spec.norm, tensor_name(names_.k_norm, index), head ? attention.head_dim : keys, layer.k_norm);
  return ok;
}

Status WeightBinder::bind_mlp(const MlpNames& names, int index, int expert, std::int64_t width,
                              MlpWeights& mlp) {
  const std::int64_t hidden = config_.hidden_size;
  Status ok = matrix(weight(tensor_name(names.gate, index, expert)), width, hidden, mlp.gate_proj);
  if (ok) ok = matrix(weight(tensor_name(names.up, index, expert)), width, hidden, mlp.up_proj);
  if (ok) ok = matrix(weight(tensor_name(names.down, index, expert)), hidden, width, mlp.down_proj);
  return ok;
}

Status WeightBinder::bind_fused_experts(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  const std::int64_t experts = spec.router.experts;
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t width = spec.expert.width;
  const bool together = has(names_.fused_gate_up_proj, index);
  Matrix gate;
  Matrix up;
  Matrix down;
  Status ok;
  if (together) {
    ok = stack(tensor_name(names_.fused_gate_up_proj, index), experts, 2 * width, hidden, gate);
  } else {
    ok = stack(tensor_name(names_.fused_gate_proj, index), experts, width, hidden, gate);
    if (ok) ok = stack(tensor_name(names_.fused_up_proj, index), experts, width, hidden, up);
  }
  if (ok) ok = stack(tensor_name(names_.fused_down_proj, index), experts, hidden, width, down);
  if (!ok) return ok;
  layer.experts.resize(static_cast<std::size_t>(experts));
  for (std::int64_t e = 0; e < experts; ++e) {
    auto& expert = layer.experts[static_cast<std::size_t>(e)];
    const std::int64_t row = (together ? 2 : 1) * width * e;
    expert.gate_proj = gate.slice(row, width);
    expert.up_proj = together ? gate.slice(row + width, width) : up.slice(row, width);
    expert.down_proj = down.slice(hidden * e, hidden);
  }
  return {};
}

bool WeightBinder::has(const char* pattern, int index) const {
  return pattern != nullptr && store_.find(tensor_name(pattern, index)) != nullptr;
}

Status WeightBinder::bind_experts(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  const bool fused = has(names_.fused_gate_up_proj, index) || has(names_.fused_gate_proj, index);
  const char* router = fused && names_.fused_router != nullptr ? names_.fused_router : names_.router;
  Status ok =
      matrix(weight(tensor_name(router, index)), spec.router.experts, config_.hidden_size, layer.router);
  if (ok && spec.router.correction_bias)
    ok = vector(tensor_name(names_.correction_bias, index), spec.router.experts, layer.correction_bias);
  if (!ok) return ok;
  if (fused) return bind_fused_experts(index, layer);
  const MlpNames names{names_.expert_gate_proj, names_.expert_up_proj, names_.expert_down_proj};
  layer.experts.reserve(static_cast<std::size_t>(std::min(spec.router.experts, 1024)));
  for (int e = 0; ok && e < spec.router.experts; ++e)
    ok = bind_mlp(names, index, e, spec.expert.width, layer.experts.emplace_back());
  return ok;
}

Status WeightBinder::bind_layer(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  const std::int64_t hidden = config_.hidden_size;
  Status ok = norm(spec.norm, tensor_name(names_.input_layernorm, index), hidden, layer.input_layernorm);
  if (ok) ok = bind_attention(index, layer);
  if (ok)
    ok = norm(spec.norm, tensor_name(names_.post_attention_layernorm, index), hidden,
              layer.post_attention_layernorm);
  if (ok && spec.is_moe()) ok = bind_experts(index, layer);
  if (ok && spec.shared.width > 0)
    ok = bind_mlp({names_.shared_gate_proj, names_.shared_up_proj, names_.shared_down_proj}, index, -1,
                  spec.shared.width, layer.shared);
  if (ok && spec.shared_gate)
    ok = matrix(weight(tensor_name(names_.shared_expert_gate, index)), 1, hidden, layer.shared_gate);
  if (ok && spec.dense.width > 0)
    ok = bind_mlp({names_.gate_proj, names_.up_proj, names_.down_proj}, index, -1, spec.dense.width,
                  layer.mlp);
  return ok;
}

}  // namespace expertscope
