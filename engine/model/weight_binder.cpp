// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/weight_binder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/model/latent_weights.h"

namespace expertscope {
namespace {

/// [experts, cols, rows] at `from`, at any address, becomes [experts, rows, cols]; where rows of gate and up
/// take turns there, those of the gate come first.
template <class Element>
void turn_experts(const std::uint8_t* from, const std::vector<std::int64_t>& shape, bool alternates,
                  std::byte* to) {
  constexpr std::int64_t kTile = 64;  // elements of a side: both sides stay in the cache
  const std::int64_t rows = shape[1];
  const std::int64_t cols = shape[2];
  const auto place = [&](std::int64_t row) { return alternates ? row % 2 * (rows / 2) + row / 2 : row; };
  for (std::int64_t e = 0; e < shape[0]; ++e, from += rows * cols * sizeof(Element))
    for (std::int64_t r0 = 0; r0 < rows; r0 += kTile)
      for (std::int64_t c0 = 0; c0 < cols; c0 += kTile)
        for (std::int64_t r = r0; r < std::min(r0 + kTile, rows); ++r)
          for (std::int64_t c = c0; c < std::min(c0 + kTile, cols); ++c)
            std::memcpy(to + ((e * rows + place(r)) * cols + c) * sizeof(Element),
                        from + (c * rows + r) * sizeof(Element), sizeof(Element));
}

/// Reads both up to the first difference.
Result<bool> same_elements(const Matrix& a, const Matrix& b, const std::stop_token& stop) {
  if (a.format != b.format || a.scales != nullptr) return false;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "Comparing the embeddings was cancelled");
    if (std::memcmp(a.row(row), b.row(row), a.row_bytes()) != 0) return false;
  }
  return true;
}

}  // namespace

Status WeightBinder::matrix(const std::string& name, std::int64_t rows, std::int64_t cols, Matrix& out) {
  const auto matrix = tensors_.matrix(name, rows, cols);
  if (!matrix) return forward_error(matrix);
  out = *matrix;
  return {};
}

Status WeightBinder::stored_stack(const std::string& name, const Shape& shape, Matrix& whole) {
  const auto tensor = tensors_.find(name, shape);
  if (!tensor) return forward_error(tensor);
  const auto matrix = tensors_.view(**tensor, shape[0] * shape[1], shape[2]);
  if (!matrix) return forward_error(matrix);
  whole = *matrix;
  return {};
}

Status WeightBinder::mxfp4_stack(const std::string& name, const Shape& shape, Matrix& whole) {
  const WeightFormat& format = weight_format(FormatId::mxfp4);
  const auto elements = static_cast<std::int64_t>(format.block.elements);
  if (shape[2] % elements != 0)
    return fail(ErrorCode::unsupported, "{}: tensor {}_blocks: rows of {} weights are no whole blocks of {}",
                store_.place().string(), name, shape[2], elements);
  const Shape scales = {shape[0], shape[1], shape[2] / elements};
  const auto blocks = tensors_.bytes(
      name + "_blocks", {scales[0], scales[1], scales[2], static_cast<std::int64_t>(format.block.bytes)});
  if (!blocks) return forward_error(blocks);
  const auto plane = tensors_.bytes(name + "_scales", scales);
  if (!plane) return forward_error(plane);
  whole = {*blocks, &format, shape[0] * shape[1], shape[2], *plane};
  return {};
}

Status WeightBinder::turned_stack(const std::string& name, const Shape& shape, bool alternates,
                                  Matrix& whole) {
  const auto tensor = tensors_.find(name, {shape[0], shape[2], shape[1]});
  if (!tensor) return forward_error(tensor);
  const WeightFormat& format = *find_weight_format((*tensor)->format);
  if (format.block.elements != 1 || format.scales.rows > 0)
    return fail(ErrorCode::unsupported, "{}: tensor {} is {}, which is not read transposed",
                (*tensor)->file->string(), name, format.name);
  const auto memory = tensors_.turned(**tensor, (*tensor)->bytes);
  if (!memory) return forward_error(memory);
  const auto turn = format.block.bytes == sizeof(float) ? turn_experts<float> : turn_experts<std::uint16_t>;
  turn((*tensor)->data, shape, alternates, *memory);
  whole = {*memory, &format, shape[0] * shape[1], shape[2]};
  return {};
}

Status WeightBinder::stack(const char* pattern, int index, const Shape& shape, Stack& out) {
  const std::string name = pattern == nullptr ? std::string() : tensor_name(pattern, index);
  const bool alternates = names_.fused_alternates && pattern == names_.fused_gate_up_proj;
  out.alternates = false;
  if (store_.find(name) == nullptr && store_.find(name + "_blocks") != nullptr) {
    out.alternates = alternates;
    return mxfp4_stack(name, shape, out.whole);
  }
  if (names_.fused_transposed) return turned_stack(name, shape, alternates, out.whole);
  return stored_stack(name, shape, out.whole);
}

Status WeightBinder::vector(const std::string& name, TensorSize size, bool zero_centred, Vector& out) {
  const auto tensor = tensors_.find(name, size.cols == 0 ? Shape{size.rows} : Shape{size.rows, 1, size.cols});
  if (!tensor) return forward_error(tensor);
  const std::int64_t count = size.rows * std::max<std::int64_t>(size.cols, 1);
  out.resize(static_cast<std::size_t>(count));
  find_weight_format((*tensor)->format)->dequantise({(*tensor)->data}, 0, count, out.data());
  if (!zero_centred) return {};
  for (float& value : out)
    value += 1.0f;
  return {};
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
  if (auto ok = vector(names_.norm, {hidden}, config_.norm.zero_centred, weights.norm); !ok) return ok;
  if (config_.norm.kind == NormSpec::Kind::layer) {
    const std::string bias = tensor_name(names_.norm, ".bias", -1);
    if (auto ok = vector(bias, {hidden}, false, weights.norm_bias); !ok) return ok;
  }
  if (config_.tie_word_embeddings) return bind_tied(weights, stop);
  if (auto ok = matrix(names_.embed_tokens, vocab, hidden, weights.embed_tokens); !ok) return ok;
  if (store_.find(names_.lm_head) == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} is missing, and {} says tie_word_embeddings: false",
                store_.place().string(), names_.lm_head, store_.described_by());
  return matrix(names_.lm_head, vocab, hidden, weights.lm_head);
}

Status WeightBinder::bind_mlp(const MlpNames& names, int index, int expert, const MlpSpec& spec,
                              MlpWeights& mlp) {
  for (const MlpTensor& tensor : mlp_tensors()) {
    const TensorSize size = tensor.size(spec, config_.hidden_size);
    if (size.rows == 0) continue;
    const std::string name = mlp_tensor_name(tensor, names, index, expert);
    Status ok = tensor.matrix != nullptr ? matrix(name, size.rows, size.cols, mlp.*tensor.matrix)
                                         : vector(name, {size.rows}, false, mlp.*tensor.vector);
    if (!ok) return ok;
  }
  return {};
}

Status WeightBinder::bind_fused_experts(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  const std::int64_t experts = spec.router.experts;
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t width = spec.expert.width;
  const bool together = has(names_.fused_gate_up_proj, index) || names_.fused_gate_proj == nullptr;
  if (!spec.expert.gated || (spec.expert.biases && !together))
    return fail(ErrorCode::unsupported,
                "{}: packed experts without a gate, or with biases of a gate of its own, are not read",
                store_.place().string());
  Stack gate;
  Stack up;
  Stack down;
  Status ok;
  if (together) {
    ok = stack(names_.fused_gate_up_proj, index, {experts, 2 * width, hidden}, gate);
  } else {
    ok = stack(names_.fused_gate_proj, index, {experts, width, hidden}, gate);
    if (ok) ok = stack(names_.fused_up_proj, index, {experts, width, hidden}, up);
  }
  if (ok) ok = stack(names_.fused_down_proj, index, {experts, hidden, width}, down);
  if (!ok) return ok;
  for (const Matrix* packed : {&gate.whole, &up.whole, &down.whole})
    if (const std::int64_t rows = packed->plane().rows;
        rows > 0 && rows < packed->rows / experts && (hidden % rows != 0 || width % rows != 0))
      return fail(ErrorCode::unsupported,
                  "{}: packed experts in {} are read where hidden_size and their width are multiples of {}, "
                  "not {} and {}",
                  store_.place().string(), packed->format->name, rows, hidden, width);
  layer.experts.resize(static_cast<std::size_t>(experts));
  for (std::int64_t e = 0; e < experts; ++e) {
    auto& expert = layer.experts[e];
    const std::int64_t row = (together ? 2 : 1) * width * e;
    const std::int64_t step = gate.alternates ? 2 : 1;
    const std::int64_t up_row = gate.alternates ? row + 1 : row + width;
    expert.gate_proj = gate.whole.every(step, row, width);
    expert.up_proj = together ? gate.whole.every(step, up_row, width) : up.whole.slice(row, width);
    expert.down_proj = down.whole.slice(hidden * e, hidden);
  }
  return spec.expert.biases ? bind_fused_biases(index, layer) : Status{};
}

Status WeightBinder::bind_fused_biases(int index, LayerWeights& layer) {
  const std::int64_t experts = std::ssize(layer.experts);
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t width = config_.layer(index).expert.width;
  const auto read = [&](const char* pattern, std::int64_t rows, Vector& all) -> Status {
    const auto tensor =
        tensors_.find(pattern == nullptr ? std::string() : tensor_name(pattern, index), {experts, rows});
    if (!tensor) return forward_error(tensor);
    const auto matrix = tensors_.view(**tensor, experts, rows);
    if (!matrix) return forward_error(matrix);
    all.resize(static_cast<std::size_t>(experts * rows));
    for (std::int64_t e = 0; e < experts; ++e)
      matrix->dequantise(e, 0, rows, all.data() + e * rows);
    return {};
  };
  Vector gate_up;
  Vector down;
  Status ok = read(names_.fused_gate_up_bias, 2 * width, gate_up);
  if (ok) ok = read(names_.fused_down_bias, hidden, down);
  if (!ok) return ok;
  const std::int64_t step = names_.fused_alternates ? 2 : 1;
  for (std::int64_t e = 0; e < experts; ++e) {
    MlpWeights& expert = layer.experts[e];
    const float* gate = gate_up.data() + e * 2 * width;
    const float* up = gate + (names_.fused_alternates ? 1 : width);
    for (std::int64_t i = 0; i < width; ++i) {
      expert.gate_bias.push_back(gate[i * step]);
      expert.up_bias.push_back(up[i * step]);
    }
    expert.down_bias.assign(down.begin() + e * hidden, down.begin() + (e + 1) * hidden);
  }
  return {};
}

bool WeightBinder::has(const char* pattern, int index) const {
  if (pattern == nullptr) return false;
  const std::string name = tensor_name(pattern, index);
  return store_.find(name) != nullptr || store_.find(name + "_blocks") != nullptr;
}

Status WeightBinder::bind_experts(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  if (layer.fused_experts) return bind_fused_experts(index, layer);
  Status ok;
  layer.experts.reserve(static_cast<std::size_t>(std::min(spec.router.experts, 1024)));
  for (int e = 0; ok && e < spec.router.experts; ++e)
    ok = bind_mlp(names_.expert, index, e, spec.expert, layer.experts.emplace_back());
  return ok;
}

Status WeightBinder::bind_layer(int index, LayerWeights& layer) {
  const LayerSpec& spec = config_.layer(index);
  layer.fused_experts =
      spec.is_moe() && (names_.expert.up_proj == nullptr || has(names_.fused_gate_up_proj, index) ||
                        has(names_.fused_gate_proj, index));
  for (const LayerTensor& tensor : layer_tensors()) {
    const TensorSize size = tensor.size(spec, config_.hidden_size);
    if (size.rows == 0) continue;
    const std::string name = layer_tensor_name(tensor, names_, index, layer.fused_experts);
    const bool zero_centred = tensor.norm && spec.norm.zero_centred;
    Status ok = tensor.matrix != nullptr ? matrix(name, size.rows, size.cols, layer.*tensor.matrix)
                                         : vector(name, size, zero_centred, layer.*tensor.vector);
    if (!ok) return ok;
  }
  for (float& weight : layer.router_norm)
    weight *= spec.router.input_scale;
  Status ok;
  if (spec.attention.has_latent())
    ok = split_latent(spec.attention, tensor_name(names_.kv_b_proj, ".weight", index), layer,
                      tensors_.copies());
  if (ok) ok = bind_experts(index, layer);
  if (ok) ok = bind_mlp(names_.shared, index, -1, spec.shared, layer.shared);
  if (ok) ok = bind_mlp(names_.dense, index, -1, spec.dense, layer.mlp);
  return ok;
}

}  // namespace expertscope
