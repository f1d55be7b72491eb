// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/weight_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/formats/f8.h"
#include "engine/formats/int4.h"
#include "engine/formats/mxfp4.h"
#include "engine/formats/nvfp4.h"
#include "engine/formats/q8_0.h"
#include "engine/half.h"

namespace expertscope {
namespace {

void copy_f32(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  std::memcpy(to, row.data + static_cast<std::size_t>(first) * sizeof(float),
              static_cast<std::size_t>(count) * sizeof(float));
}

template <float (*widen)(std::uint16_t)>
void widen_halves(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  const std::uint8_t* from = row.data + static_cast<std::size_t>(first) * sizeof(std::uint16_t);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, from + static_cast<std::size_t>(i) * sizeof(half), sizeof(half));
    to[i] = widen(half);
  }
}

/// A row a format; those with an id in its order, at the beginning.
constexpr std::array kFormats = {
    WeightFormat{FormatId::f32, "F32", {1, 4}, {}, copy_f32},
    WeightFormat{FormatId::f16, "F16", {1, 2}, {}, widen_halves<f16_to_f32>},
    WeightFormat{FormatId::bf16, "BF16", {1, 2}, {}, widen_halves<bf16_to_f32>},
    WeightFormat{FormatId::q8_0, "Q8_0", kQ8_0Block, {}, dequantise_q8_0},
    WeightFormat{FormatId::f8_e4m3, "F8_E4M3", {1, 1}, kF8Scales, dequantise_f8_e4m3},
    WeightFormat{FormatId::mxfp4, "MXFP4", kMxfp4Block, kMxfp4Scales, dequantise_mxfp4},
    WeightFormat{FormatId::int4_bf16, "INT4_BF16", kInt4Block, kGroupsOf128, dequantise_int4_bf16},
    WeightFormat{FormatId::int4_f16, "INT4_F16", kInt4Block, kGroupsOf128, dequantise_int4_f16},
    WeightFormat{FormatId::int4_f32, "INT4_F32", kInt4Block, kF32GroupsOf128, dequantise_int4_f32},
    WeightFormat{FormatId::nvfp4, "NVFP4", kNvfp4Block, kNvfp4Scales, dequantise_nvfp4},
    WeightFormat{FormatId::other, "INT8_BF16", kInt8Block, kGroupsOf128, dequantise_int8_bf16},
    WeightFormat{FormatId::other, "INT8_F16", kInt8Block, kGroupsOf128, dequantise_int8_f16},
    WeightFormat{FormatId::other, "INT8_F32", kInt8Block, kF32GroupsOf128, dequantise_int8_f32},
};

constexpr bool ids_are_places() {
  for (std::size_t i = 0; i < kFormats.size() && i < static_cast<std::size_t>(FormatId::other); ++i)
    if (kFormats[i].id != static_cast<FormatId>(i)) return false;
  return kFormats.size() >= static_cast<std::size_t>(FormatId::other);
}
static_assert(ids_are_places());

}  // namespace

std::optional<std::uint64_t> BlockSize::bytes_of(std::span<const std::int64_t> shape) const {
  std::uint64_t count = 1;
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(extent), &count)) return std::nullopt;
  const std::uint64_t row = shape.empty() ? 1 : static_cast<std::uint64_t>(shape.back());
  std::uint64_t total = 0;
  if (row % elements != 0 || __builtin_mul_overflow(count / elements, bytes, &total)) return std::nullopt;
  return total;
}

const WeightFormat& weight_format(FormatId id) {
  return kFormats[static_cast<std::size_t>(id)];
}

const WeightFormat* find_weight_format(std::string_view name) {
  const auto* it = std::find_if(kFormats.begin(), kFormats.end(),
                                [&](const WeightFormat& format) { return format.name == name; });
  return it == kFormats.end() ? nullptr : it;
}

std::string weight_format_names() {
  std::string names;
  for (const WeightFormat& format : kFormats)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", format.name);
  return names;
}

}  // namespace expertscope
