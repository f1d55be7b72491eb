// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "engine/cpu/kernels/kernels.h"
#include "engine/half.h"
#include "tests/support/stored_weights.h"

namespace expertscope::cpu {

/// Every level this machine can run; the scalar one is always there.
inline std::vector<CpuLevel> available_levels() {
  std::vector<CpuLevel> levels;
  for (int i = 0; i <= static_cast<int>(detect_cpu_level()); ++i)
    levels.push_back(static_cast<CpuLevel>(i));
  return levels;
}

inline std::string level_test_name(const ::testing::TestParamInfo<CpuLevel>& info) {
  return cpu_level_name(info.param);
}

/// Numbers in (-1, 1) that are the same on every machine.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : state_(seed * 2654435761u + 1) {}
  float next() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<float>(static_cast<std::int32_t>(state_)) * 0x1p-31f;
  }
  std::vector<float> take(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values)
      value = next();
    return values;
  }

 private:
  std::uint32_t state_;
};

/// Memory with the alignment that packed activations want.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size) : storage_(size + kPackAlignment) {}
  void* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    return storage_.data() + (kPackAlignment - address % kPackAlignment) % kPackAlignment;
  }

 private:
  std::vector<std::uint8_t> storage_;
};

/// A page of zeros with none behind it: what lies at its end is the end of a mapped file.
class LastPage {
 public:
  LastPage() : size_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    page_ = mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(page_, MAP_FAILED);
    EXPECT_EQ(mprotect(end(), size_, PROT_NONE), 0);
  }
  ~LastPage() { munmap(page_, 2 * size_); }
  LastPage(const LastPage&) = delete;
  LastPage& operator=(const LastPage&) = delete;
  std::uint8_t* end() const { return static_cast<std::uint8_t*>(page_) + size_; }

 private:
  std::size_t size_;
  void* page_;
};

/// A weight matrix that starts `offset` bytes into its memory and ends with it, and its values as doubles.
class TestMatrix {
 public:
  TestMatrix(const std::vector<float>& values, std::int64_t rows, std::int64_t cols, FormatId type,
             int offset)
      : bytes_(testing::stored_bytes(values.size(), type) + static_cast<std::size_t>(offset)) {
    std::uint8_t* start = bytes_.data() + offset;
    testing::store_values(values.data(), values.size(), type, start);
    take({start, &weight_format(type), rows, cols});
  }
  /// With a plane of scales; kPlanedFormat is one that no kernel knows.
  TestMatrix(const std::vector<float>& values, std::int64_t rows, std::int64_t cols,
             const WeightFormat& format = testing::kPlanedFormat, ScaleBlock block = {}) {
    take(testing::store_planed({values.data(), &weight_format(FormatId::f32), rows, cols}, bytes_, scales_,
                               format, block));
  }
  const Matrix& matrix() const { return matrix_; }
  double at(std::int64_t n, std::int64_t k) const {
    return values_[static_cast<std::size_t>(n * matrix_.cols + k)];
  }

 private:
  void take(const Matrix& matrix) {
    matrix_ = matrix;
    std::vector<float> row(static_cast<std::size_t>(matrix.cols));
    for (std::int64_t n = 0; n < matrix.rows; ++n) {
      matrix.dequantise(n, 0, matrix.cols, row.data());
      values_.insert(values_.end(), row.begin(), row.end());
    }
  }

  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint8_t> scales_;
  std::vector<double> values_;
  Matrix matrix_;
};

/// Activations packed by the kernels of one level, and what they stand for after rounding.
class TestActivations {
 public:
  TestActivations(const Kernels& kernels, Arithmetic arithmetic, std::vector<float> values, std::int64_t rows,
                  std::int64_t cols)
      : arithmetic_(arithmetic), cols_(cols), values_(std::move(values)), bytes_(packed_bytes(rows, cols)) {
    packed_ = plan_activations(kernels, arithmetic, rows, cols, bytes_.data());
    kernels.pack({values_.data(), cols, nullptr, rows, cols}, packed_, 0, rows);
  }
  const PackedActivations& packed() const { return packed_; }
  double at(std::int64_t m, std::int64_t k) const {
    const float value = values_[static_cast<std::size_t>(m * cols_ + k)];
    return static_cast<double>(arithmetic_ == Arithmetic::bf16 ? bf16_to_f32(f32_to_bf16(value)) : value);
  }

 private:
  Arithmetic arithmetic_;
  std::int64_t cols_;
  std::vector<float> values_;
  AlignedBytes bytes_;
  PackedActivations packed_;
};

/// x w^T in double precision, with the sum of magnitudes that bounds the rounding of a float sum.
struct ReferenceProduct {
  double value = 0;
  double magnitude = 0;

  ReferenceProduct(const TestMatrix& w, const TestActivations& x, std::int64_t m, std::int64_t n) {
    for (std::int64_t k = 0; k < w.matrix().cols; ++k) {
      value += x.at(m, k) * w.at(n, k);
      magnitude += std::fabs(x.at(m, k) * w.at(n, k));
    }
  }
};

}  // namespace expertscope::cpu
