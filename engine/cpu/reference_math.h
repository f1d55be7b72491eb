// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/model/layer_spec.h"
#include "engine/model/weights.h"

/// The arithmetic of the reference: plain f32, in the order in which it is written.
namespace expertscope::cpu {

/// Activations: as a rule a row a token of the batch.
struct Rows {
  std::size_t count = 0;
  std::size_t columns = 0;
  std::vector<float> values;  ///< [count, columns]

  Rows(std::size_t rows, std::size_t cols) : count(rows), columns(cols), values(rows * cols) {}
  std::span<float> operator[](std::size_t row) { return {values.data() + row * columns, columns}; }
  std::span<const float> operator[](std::size_t row) const {
    return {values.data() + row * columns, columns};
  }
};

float dot(std::span<const float> a, std::span<const float> b);

/// y += a * x
void add(float a, std::span<const float> x, std::span<float> y);

/// Adds the rows of x behind those of y, which has as many columns or no rows yet.
void append(const Rows& x, Rows& y);

/// x w^T + bias, for every row of x; an empty bias is none.
Rows product(const Matrix& w, const Vector& bias, const Rows& x);

/// Every piece of weight.size() values, a row or a head, normed by itself; an empty bias is none.
Rows norm(const NormSpec& spec, const Vector& weight, const Vector& bias, Rows x);

/// Turns the leading pairs of a head, [half] cosines and sines: (i, i + half), or interleaved (2 i, 2 i + 1).
void turn(std::span<float> head, std::span<const float> cosine, const float* sine, bool interleaved);

float sigmoid(float x);
Rows sigmoid(Rows x);

bool all_finite(const Rows& x);

/// max |x| and its channel, the first of equals.
std::pair<float, std::int32_t> largest(std::span<const float> x);

}  // namespace expertscope::cpu
