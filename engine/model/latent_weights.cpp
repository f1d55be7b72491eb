// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/latent_weights.h"

#include <cstring>
#include <new>
#include <vector>

namespace expertscope {
namespace {

/// Rows [first, first + count) of `from`, turned or not, in memory of its own; empty where there is none.
Matrix copy_rows(const Matrix& from, std::int64_t first, std::int64_t count, bool turned,
                 AlignedCopies& copies) {
  const FormatId id = from.format->id;
  const bool keeps = id == FormatId::f32 || id == FormatId::f16 || id == FormatId::bf16;
  const WeightFormat& format = keeps ? *from.format : weight_format(FormatId::f32);
  const auto element = static_cast<std::int64_t>(format.block.bytes);
  const auto bytes = static_cast<std::size_t>(count * from.cols * element);
  std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[bytes]);
  if (copy == nullptr) return {};
  std::vector<float> widened(keeps ? 0 : static_cast<std::size_t>(from.cols));
  const std::int64_t column_step = turned ? count : 1;
  const std::int64_t row_step = turned ? 1 : from.cols;
  for (std::int64_t row = 0; row < count; ++row) {
    if (!keeps) from.dequantise(first + row, 0, from.cols, widened.data());
    const auto* source = static_cast<const std::byte*>(keeps ? from.row(first + row) : widened.data());
    for (std::int64_t column = 0; column < from.cols; ++column)
      std::memcpy(copy.get() + (row * row_step + column * column_step) * element, source + column * element,
                  static_cast<std::size_t>(element));
  }
  copies.push_back(std::move(copy));
  const void* data = copies.back().get();
  return turned ? Matrix{data, &format, from.cols, count} : Matrix{data, &format, count, from.cols};
}

}  // namespace

Status split_latent(const AttentionSpec& spec, const std::string& tensor, LayerWeights& layer,
                    AlignedCopies& copies) {
  const Matrix& all = layer.kv_b_proj;
  const std::int64_t keys = spec.latent.nope_dim;
  const std::int64_t values = spec.latent.value_dim;
  for (std::int64_t head = 0; head < spec.heads; ++head) {
    const std::int64_t first = head * (keys + values);
    const std::int64_t scale_rows = all.plane().rows;
    const bool in_place = scale_rows == 0 || scale_rows >= all.rows || (first + keys) % scale_rows == 0;
    layer.latent_keys.push_back(copy_rows(all, first, keys, true, copies));
    layer.latent_values.push_back(in_place ? all.slice(first + keys, values)
                                           : copy_rows(all, first + keys, values, false, copies));
    if (!layer.latent_keys.back() || !layer.latent_values.back())
      return fail(ErrorCode::out_of_memory, "no memory to turn tensor {}", tensor);
  }
  return {};
}

}  // namespace expertscope
