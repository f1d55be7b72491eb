// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/formats/f8.h"
#include "engine/formats/weight_format.h"
#include "engine/half.h"
#include "engine/model/weights.h"

namespace expertscope::testing {

inline void store_half(std::uint16_t half, std::uint8_t* to) {
  std::memcpy(to, &half, sizeof(half));
}

/// Blocks of Q8_0: the largest of 32 becomes 127 (quantize_row_q8_0_ref of ggml-quants.c).
inline void store_q8_0(const float* values, std::size_t count, std::uint8_t* to) {
  for (std::size_t begin = 0; begin < count; begin += 32, to += 34) {
    float largest = 0;
    for (std::size_t i = 0; i < 32; ++i)
      largest = std::max(largest, std::fabs(values[begin + i]));
    const float scale = largest / 127;
    store_half(f32_to_f16(scale), to);
    for (std::size_t i = 0; i < 32; ++i)
      to[2 + i] = static_cast<std::uint8_t>(
          static_cast<std::int8_t>(std::lround(scale == 0 ? 0 : values[begin + i] / scale)));
  }
}

/// Writes `count` values, whole blocks, as a format holds them.
inline void store_values(const float* values, std::size_t count, FormatId id, std::uint8_t* to) {
  if (id == FormatId::q8_0) return store_q8_0(values, count, to);
  if (id == FormatId::f32) {
    std::memcpy(to, values, count * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < count; ++i)
    store_half(id == FormatId::f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]), to + 2 * i);
}

inline std::size_t stored_bytes(std::size_t count, FormatId id) {
  return weight_format(id).row_bytes(static_cast<std::int64_t>(count));
}

/// A format that no kernel knows: integers of 8 bits in blocks of 16, and a plane of scales, one F32 for 4
/// rows by 32 columns.
inline void dequantise_planed(const WeightRow& row, std::int64_t first, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    float scale = 0;
    std::memcpy(&scale, row.scales + (first + i) / 32 * 4, sizeof(scale));
    to[i] = scale * static_cast<float>(static_cast<std::int8_t>(row.data[first + i]));
  }
}
inline constexpr WeightFormat kPlanedFormat = {
    FormatId::other, "PLANED", {16, 16}, {4, 32, 4}, dequantise_planed};

/// The E4M3 number nearest to a value of magnitude up to 448.
inline std::uint8_t nearest_e4m3(float value) {
  std::uint8_t nearest = 0;  // magnitudes are in the order of their bits
  while (nearest < 0x7e && std::fabs(value) > (e4m3_to_f32(nearest) + e4m3_to_f32(nearest + 1)) / 2)
    ++nearest;
  return static_cast<std::uint8_t>(nearest | (std::signbit(value) ? 0x80 : 0));
}

/// A matrix of a format of bytes with a plane of F32 scales, kPlanedFormat or F8_E4M3, near to the values of
/// another one, in the memory given; `block`: of elements that share a scale, 0 x 0 for that of the format.
inline Matrix store_planed(const Matrix& from, std::vector<std::uint8_t>& data,
                           std::vector<std::uint8_t>& scales, const WeightFormat& format = kPlanedFormat,
                           ScaleBlock block = {}) {
  Matrix to{nullptr, &format, from.rows, from.cols, nullptr, 1, block};
  const ScalePlane plane = to.plane();
  data.resize(static_cast<std::size_t>(from.rows) * to.row_bytes());
  scales.resize(static_cast<std::size_t>((from.rows + plane.rows - 1) / plane.rows) * to.scale_row_bytes());
  std::vector<float> row(static_cast<std::size_t>(from.cols));
  for (std::int64_t r = 0; r < from.rows; ++r) {
    from.dequantise(r, 0, from.cols, row.data());
    for (std::int64_t c = 0; c < from.cols; ++c) {
      const float scale = 0.01f * static_cast<float>(1 + (r / plane.rows + c / plane.cols) % 5);
      std::memcpy(scales.data() + static_cast<std::size_t>(r / plane.rows) * to.scale_row_bytes() +
                      static_cast<std::size_t>(c / plane.cols * plane.bytes),
                  &scale, sizeof(scale));
      const float quotient = row[static_cast<std::size_t>(c)] / scale;
      const float whole = std::clamp(std::round(quotient), -127.0f, 127.0f);
      data[static_cast<std::size_t>(r * from.cols + c)] =
          format.id == FormatId::f8_e4m3 ? nearest_e4m3(quotient)
                                         : static_cast<std::uint8_t>(static_cast<std::int8_t>(whole));
    }
  }
  to.data = data.data();
  to.scales = scales.data();
  return to;
}

/// A matrix of MXFP4 of any bits, in the memory given: of every second stored row where `step` is 2. Scales
/// lie between 2^-10 and 2^5.
inline Matrix random_mxfp4(std::int64_t rows, std::int64_t cols, std::int64_t step, std::uint32_t seed,
                           std::vector<std::uint8_t>& data, std::vector<std::uint8_t>& scales) {
  const auto next = [&seed] {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 16;
  };
  data.resize(static_cast<std::size_t>(rows * step * cols / 2));
  scales.resize(static_cast<std::size_t>(rows * step * cols / 32));
  for (std::uint8_t& byte : data)
    byte = static_cast<std::uint8_t>(next());
  for (std::uint8_t& scale : scales)
    scale = static_cast<std::uint8_t>(117 + next() % 16);
  return {data.data(), &weight_format(FormatId::mxfp4), rows, cols, scales.data(), step};
}

/// Memory of a matrix of planes.
struct PlanedBytes {
  std::vector<std::uint8_t> data, scales, zeros;
};

/// A matrix of INT4 or INT8 of any bits in groups of `group` columns, in the memory given; with a plane of
/// zero points from 0 to 16 where `zeros` says so. Scales are up to 0.1, some negative.
inline Matrix random_int(const WeightFormat& format, std::int64_t rows, std::int64_t cols, std::int64_t group,
                         bool zeros, std::uint32_t seed, PlanedBytes& memory) {
  const auto next = [&seed] {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 16;
  };
  const auto groups = static_cast<std::size_t>(rows * (cols / group));
  const auto scale_bytes = static_cast<std::size_t>(format.scales.bytes);
  memory.data.resize(static_cast<std::size_t>(rows) * format.row_bytes(cols));
  memory.scales.resize(groups * scale_bytes);
  memory.zeros.resize(zeros ? groups : 0);
  for (std::uint8_t& byte : memory.data)
    byte = static_cast<std::uint8_t>(next());
  for (std::uint8_t& zero : memory.zeros)
    zero = static_cast<std::uint8_t>(next() % 17);
  for (std::size_t i = 0; i < groups; ++i) {
    const float scale = (static_cast<float>(next() % 2001) - 200.0f) / 18000.0f;
    std::uint8_t* to = memory.scales.data() + i * scale_bytes;
    if (scale_bytes == sizeof(scale)) {
      std::memcpy(to, &scale, sizeof(scale));
    } else {
      store_half(format.name.ends_with("_BF16") ? f32_to_bf16(scale) : f32_to_f16(scale), to);
    }
  }
  return {memory.data.data(),   &format, rows,       cols,
          memory.scales.data(), 1,       {1, group}, zeros ? memory.zeros.data() : nullptr};
}

/// A matrix of NVFP4 of any bits; `values`: what scales stand for, 0.001 of their number in E4M3.
inline Matrix random_nvfp4(std::int64_t rows, std::int64_t cols, std::uint32_t seed, PlanedBytes& memory,
                           std::vector<float>& values) {
  const auto next = [&seed] {
    seed = seed * 1664525u + 1013904223u;
    return seed >> 16;
  };
  memory.data.resize(static_cast<std::size_t>(rows * cols / 2));
  memory.scales.resize(static_cast<std::size_t>(rows * cols / 16));
  for (std::uint8_t& byte : memory.data)
    byte = static_cast<std::uint8_t>(next());
  for (std::uint8_t& scale : memory.scales)
    scale = static_cast<std::uint8_t>(next() % 0x7f);  // not NaN
  values.clear();
  for (int i = 0; i < 256; ++i)
    values.push_back(0.001f * e4m3_to_f32(static_cast<std::uint8_t>(i)));
  Matrix matrix{memory.data.data(), &weight_format(FormatId::nvfp4), rows, cols, memory.scales.data()};
  matrix.scale_values = values.data();
  return matrix;
}

/// The same matrix as BF16, nearest, in the memory given.
inline Matrix as_bf16(const Matrix& from, std::vector<std::uint16_t>& halves) {
  halves.resize(static_cast<std::size_t>(from.rows * from.cols));
  std::vector<float> row(static_cast<std::size_t>(from.cols));
  for (std::int64_t r = 0; r < from.rows; ++r) {
    from.dequantise(r, 0, from.cols, row.data());
    for (std::int64_t c = 0; c < from.cols; ++c)
      halves[static_cast<std::size_t>(r * from.cols + c)] = f32_to_bf16(row[static_cast<std::size_t>(c)]);
  }
  return {halves.data(), &weight_format(FormatId::bf16), from.rows, from.cols};
}

}  // namespace expertscope::testing
