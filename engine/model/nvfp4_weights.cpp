// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/nvfp4_weights.h"

#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "engine/formats/f8.h"
#include "engine/formats/nvfp4.h"

namespace expertscope {
namespace {

constexpr std::size_t kScales = 256;

std::string stem_of(const std::string& name) {
  constexpr std::string_view kWeight = "weight";
  return name.substr(0, name.size() - kWeight.size());
}

bool is_u8(const SourceTensor* tensor) {
  return tensor != nullptr && tensor->format == "U8";
}

/// The one number of the factor of a matrix.
Result<float> factor_of(StoredTensors& tensors, const std::string& name) {
  const auto* found = tensors.store().find(name);
  const auto located = tensors.locate(
      name, found != nullptr && found->shape.empty() ? StoredTensors::Shape{} : StoredTensors::Shape{1});
  if (!located) return forward_error(located);
  float factor = 0;
  if (found->format != "F32" || found->bytes != sizeof(factor))
    return fail(ErrorCode::unsupported, "{}: tensor {} is {} of {} bytes, and not F32", found->file->string(),
                name, found->format, found->bytes);
  std::memcpy(&factor, found->data, sizeof(factor));
  return factor;
}

/// What every scale stands for, in memory of the matrix.
Result<const float*> scale_values(StoredTensors& tensors, const SourceTensor& scales,
                                  const std::string& stem) {
  const bool divides = tensors.store().find(stem + "weight_global_scale") != nullptr;
  const std::string name = stem + (divides ? "weight_global_scale" : "weight_scale_2");
  const auto factor = factor_of(tensors, name);
  if (!factor) return forward_error(factor);
  std::array<float, kScales> values;
  for (std::size_t i = 0; i < kScales; ++i) {
    const float scale = e4m3_to_f32(static_cast<std::uint8_t>(i));
    values[i] = divides ? scale / *factor : scale * *factor;
    if (!std::isnan(scale) && !(std::fabs(values[i]) <= kLargestScale))
      return fail(ErrorCode::mismatch, "{}: tensor {}: with a factor of {} scales are no finite numbers",
                  scales.file->string(), name, *factor);
  }
  return tensors.kept(values);
}

}  // namespace

bool is_nvfp4(const TensorStore& store, const std::string& name) {
  if (!name.ends_with(".weight")) return false;
  const std::string stem = stem_of(name);
  return is_u8(store.find(stem + "weight_packed")) ||
         (is_u8(store.find(name)) && store.find(stem + "weight_scale_2") != nullptr);
}

Result<Matrix> nvfp4_matrix(StoredTensors& tensors, const std::string& name, std::int64_t rows,
                            std::int64_t cols) {
  const std::string stem = stem_of(name);
  const std::string numbers = tensors.store().find(name) != nullptr ? name : stem + "weight_packed";
  constexpr std::int64_t kBlock = kNvfp4Scales.cols;
  if (cols % kBlock != 0)
    return fail(ErrorCode::unsupported, "{}: tensor {}: rows of {} weights are no whole blocks of {}",
                tensors.store().place().string(), numbers, cols, kBlock);
  const auto data = tensors.bytes(numbers, {rows, cols / 2});
  if (!data) return forward_error(data);
  const auto scales = tensors.locate(stem + "weight_scale", {rows, cols / kBlock});
  if (!scales) return forward_error(scales);
  if ((*scales)->format != "F8_E4M3" ||
      (*scales)->bytes != static_cast<std::uint64_t>(rows * (cols / kBlock)))
    return fail(ErrorCode::unsupported, "{}: tensor {} is {} of {} bytes, and not F8_E4M3",
                (*scales)->file->string(), (*scales)->name, (*scales)->format, (*scales)->bytes);
  const auto values = scale_values(tensors, **scales, stem);
  if (!values) return forward_error(values);
  Matrix matrix{*data, &weight_format(FormatId::nvfp4), rows, cols, (*scales)->data};
  matrix.scale_values = *values;
  return matrix;
}

}  // namespace expertscope
