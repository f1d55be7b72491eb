// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/packed_weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "engine/formats/int4.h"

namespace expertscope {
namespace {

constexpr std::string_view kWeight = "weight";
constexpr std::int64_t kBlock = 32;  ///< what kernels take of a row at once

/// Where AWQ has each of eight columns in a word, and which column it has at each place.
constexpr std::array<int, 8> kAwqPlace = {0, 4, 1, 5, 2, 6, 3, 7};
constexpr std::array<int, 8> kAwqColumn = {0, 2, 4, 6, 1, 3, 5, 7};

std::uint32_t word_at(const std::uint8_t* words, std::int64_t index) {
  std::uint32_t word = 0;
  std::memcpy(&word, words + static_cast<std::size_t>(index) * sizeof(word), sizeof(word));
  return word;
}

/// [rows, cols] at `from`, at any address, becomes [cols, rows].
template <class Element>
void turn(const std::uint8_t* from, std::int64_t rows, std::int64_t cols, std::byte* to) {
  constexpr std::int64_t kTile = 32;  // elements of a side: both sides stay in the cache
  for (std::int64_t c0 = 0; c0 < cols; c0 += kTile)
    for (std::int64_t r0 = 0; r0 < rows; r0 += kTile)
      for (std::int64_t c = c0; c < std::min(c0 + kTile, cols); ++c)
        for (std::int64_t r = r0; r < std::min(r0 + kTile, rows); ++r)
          std::memcpy(to + (c * rows + r) * std::int64_t{sizeof(Element)},
                      from + (r * cols + c) * std::int64_t{sizeof(Element)}, sizeof(Element));
}

/// Number i of word j becomes number j of word i (Warren 2012, "Hacker's Delight", 7-3).
void turn_numbers(std::array<std::uint32_t, 8>& words) {
  constexpr std::array<std::uint32_t, 3> kMasks = {0x0f0f0f0f, 0x00ff00ff, 0x0000ffff};
  for (unsigned level = 0; level < 3; ++level) {
    const unsigned step = 1u << level;
    for (unsigned i = 0; i < 8; ++i) {
      if ((i & step) != 0) continue;
      const std::uint32_t change = ((words[i] >> 4 * step) ^ words[i + step]) & kMasks[level];
      words[i + step] ^= change;
      words[i] ^= change << 4 * step;
    }
  }
}

/// AWQ's [cols, rows / 8] becomes [rows, cols / 8].
void turn_awq(const std::uint8_t* from, std::int64_t rows, std::int64_t cols, std::byte* to) {
  constexpr std::int64_t kTile = 16;
  const std::int64_t across = rows / 8;
  const std::int64_t down = cols / 8;
  for (std::int64_t c0 = 0; c0 < across; c0 += kTile)
    for (std::int64_t d = 0; d < down; ++d)
      for (std::int64_t c = c0; c < std::min(c0 + kTile, across); ++c) {
        std::array<std::uint32_t, 8> words;
        for (std::int64_t i = 0; i < 8; ++i)
          words[i] = word_at(from, (8 * d + i) * across + c);
        turn_numbers(words);
        for (std::int64_t i = 0; i < 8; ++i)
          std::memcpy(to + ((8 * c + kAwqColumn[i]) * down + d) * 4, &words[i], sizeof(words[i]));
      }
}

/// One packed weight while it is read.
class PackedReader {
 public:
  PackedReader(StoredTensors& tensors, const std::string& name, std::int64_t rows, std::int64_t cols)
      : tensors_(tensors),
        packing_(tensors.quantization().packing),
        stem_(name.substr(0, name.size() - kWeight.size())),
        rows_(rows),
        cols_(cols) {}

  Result<Matrix> read();

 private:
  using Packing = Quantization::Packing;
  bool in_rows() const { return packing_ == Packing::rows; }
  std::int64_t in_word() const { return 32 / bits_; }
  Status find_bits();
  Status find_scales();
  Status check_order();
  Status check_shape();
  Status read_numbers(Matrix& matrix);
  Status read_scales(Matrix& matrix);
  Status read_zeros(Matrix& matrix);
  std::uint8_t zero_point(const std::uint8_t* words, std::int64_t row, std::int64_t group) const;
  tl::unexpected<Error> refuse(const SourceTensor& tensor, const std::string& why) const {
    return fail(ErrorCode::unsupported, "{}: tensor {} {}: {}", tensor.file->string(), tensor.name,
                shape_text(tensor.shape), why);
  }

  StoredTensors& tensors_;
  Packing packing_;
  std::string stem_;
  std::int64_t rows_;
  std::int64_t cols_;
  const SourceTensor* numbers_ = nullptr;
  const SourceTensor* scales_ = nullptr;
  int bits_ = 4;
  std::int64_t groups_ = 1;
};

Status PackedReader::find_bits() {
  numbers_ = tensors_.store().find(stem_ + (in_rows() ? "weight_packed" : "qweight"));
  if (numbers_ == nullptr)
    return fail(ErrorCode::unsupported, "{}: {}weight is packed otherwise than config.json says",
                tensors_.store().place().string(), stem_);
  if (numbers_->format != "I32")
    return refuse(*numbers_, fmt::format("packed weights are of I32, these are {}", numbers_->format));
  if (cols_ % kBlock != 0 || (!in_rows() && rows_ % 8 != 0))
    return refuse(*numbers_, fmt::format("{} rows of {} weights are no whole blocks", rows_, cols_));
  const auto shape = [&](std::int64_t bits) -> StoredTensors::Shape {
    if (in_rows()) return {rows_, cols_ * bits / 32};
    if (packing_ == Packing::gptq) return {cols_ * bits / 32, rows_};
    return {cols_, rows_ * bits / 32};
  };
  if (packing_ != Packing::awq && numbers_->shape == shape(8)) bits_ = 8;
  if (bits_ == 4 && numbers_->shape != shape(4))
    return refuse(
        *numbers_,
        fmt::format("expected {}, {} x {} weights of 4 bits{}", shape_text(shape(4)), rows_, cols_,
                    packing_ == Packing::awq ? "" : fmt::format(", or {} of 8", shape_text(shape(8)))));
  const auto used = tensors_.words(numbers_->name, numbers_->shape);
  if (!used) return forward_error(used);
  return {};
}

Status PackedReader::find_scales() {
  const std::string name = stem_ + (in_rows() ? "weight_scale" : "scales");
  scales_ = tensors_.store().find(name);
  if (scales_ == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} is missing, the scales of {}",
                tensors_.store().place().string(), name, numbers_->name);
  const auto& shape = scales_->shape;
  const bool flat = in_rows() && shape.size() == 1;
  if (shape.size() != 2 && !flat) return refuse(*scales_, "scales have a row and a group");
  groups_ = flat ? 1 : shape[in_rows() ? 1 : 0];
  if (shape[in_rows() ? 0 : 1] != rows_ || groups_ < 1 || cols_ % groups_ != 0 ||
      cols_ / groups_ % kBlock != 0)
    return refuse(
        *scales_,
        fmt::format("expected a scale for each of {} rows and each group of them, which is a multiple "
                    "of {} weights that divides {}",
                    rows_, kBlock, cols_));
  const auto used = tensors_.find(name, shape);
  if (!used) return forward_error(used);
  if (scales_->format != "BF16" && scales_->format != "F16" && scales_->format != "F32")
    return refuse(*scales_, fmt::format("scales must be BF16, F16 or F32, these are {}", scales_->format));
  return {};
}

/// Whether the groups of a row follow each other.
Status PackedReader::check_order() {
  const std::string name = stem_ + (in_rows() ? "weight_g_idx" : "g_idx");
  const auto* order = tensors_.store().find(name);
  if (order == nullptr && tensors_.quantization().reordered)
    return fail(ErrorCode::unsupported,
                "{}: {}weight has columns in another order (desc_act), which is not supported",
                tensors_.store().place().string(), stem_);
  if (order == nullptr) return {};
  const auto words = tensors_.words(name, {cols_});
  if (!words) return forward_error(words);
  for (std::int64_t i = 0; i < cols_; ++i)
    if (word_at(*words, i) != static_cast<std::uint32_t>(i / (cols_ / groups_)))
      return refuse(*order, "columns in another order (desc_act, actorder) are not supported");
  return {};
}

/// `weight_shape` of compressed-tensors, which says nothing new.
Status PackedReader::check_shape() {
  const auto* said = tensors_.store().find(stem_ + "weight_shape");
  if (said == nullptr || !in_rows()) return {};
  const auto located = tensors_.locate(said->name, {2});
  if (!located) return forward_error(located);
  std::array<std::int64_t, 2> shape = {};
  if (said->format == "I64" && said->bytes == sizeof(shape)) {
    std::memcpy(shape.data(), said->data, sizeof(shape));
  } else if (said->format == "I32" && said->bytes == 2 * sizeof(std::int32_t)) {
    for (std::int64_t i = 0; i < 2; ++i)
      shape[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(word_at(said->data, i));
  }
  if (shape == std::array<std::int64_t, 2>{rows_, cols_}) return {};
  return refuse(*said, fmt::format("it says {} x {}, but {} asks for {} x {}", shape[0], shape[1],
                                   tensors_.store().described_by(), rows_, cols_));
}

Status PackedReader::read_numbers(Matrix& matrix) {
  const std::string_view scale = scales_->format;
  matrix.format = find_weight_format(fmt::format("INT{}_{}", bits_, scale));
  matrix.data = numbers_->data;
  if (in_rows()) return {};
  const auto memory = tensors_.turned(*numbers_, numbers_->bytes);
  if (!memory) return forward_error(memory);
  if (packing_ == Packing::gptq) {
    turn<std::uint32_t>(numbers_->data, cols_ / in_word(), rows_, *memory);
  } else {
    turn_awq(numbers_->data, rows_, cols_, *memory);
  }
  matrix.data = *memory;
  return {};
}

Status PackedReader::read_scales(Matrix& matrix) {
  matrix.scale_block = {1, cols_ / groups_};
  matrix.scales = scales_->data;
  if (in_rows()) return {};
  const auto memory = tensors_.turned(*scales_, scales_->bytes);
  if (!memory) return forward_error(memory);
  const auto turn_scales = scales_->format == "F32" ? turn<std::uint32_t> : turn<std::uint16_t>;
  turn_scales(scales_->data, groups_, rows_, *memory);
  matrix.scales = *memory;
  return {};
}

std::uint8_t PackedReader::zero_point(const std::uint8_t* words, std::int64_t row, std::int64_t group) const {
  const std::int64_t word = row / in_word();
  const std::int64_t words_across = (rows_ + in_word() - 1) / in_word();
  const std::int64_t index = in_rows() ? word * groups_ + group : group * words_across + word;
  const std::int64_t place =
      packing_ == Packing::awq ? kAwqPlace[static_cast<std::size_t>(row % 8)] : row % in_word();
  const std::uint32_t stored = word_at(words, index) >> (place * bits_);
  return static_cast<std::uint8_t>((stored + (tensors_.quantization().zeros_less_one ? 1 : 0)) &
                                   ((1u << bits_) - 1));
}

Status PackedReader::read_zeros(Matrix& matrix) {
  const std::string name = stem_ + (in_rows() ? "weight_zero_point" : "qzeros");
  const auto* found = tensors_.store().find(name);
  if (found == nullptr && !tensors_.quantization().zero_points) return {};
  const std::int64_t words_across = (rows_ + in_word() - 1) / in_word();
  const auto words = tensors_.words(name, in_rows() ? StoredTensors::Shape{words_across, groups_}
                                                    : StoredTensors::Shape{groups_, words_across});
  if (!words) return forward_error(words);
  const auto memory = tensors_.turned(*found, static_cast<std::size_t>(rows_ * groups_));
  if (!memory) return forward_error(memory);
  auto* zeros = reinterpret_cast<std::uint8_t*>(*memory);
  for (std::int64_t row = 0; row < rows_; ++row)
    for (std::int64_t group = 0; group < groups_; ++group)
      zeros[row * groups_ + group] = zero_point(*words, row, group);
  matrix.zeros = zeros;
  return {};
}

Result<Matrix> PackedReader::read() {
  Matrix matrix;
  matrix.rows = rows_;
  matrix.cols = cols_;
  Status ok = find_bits();
  if (ok) ok = find_scales();
  if (ok) ok = check_order();
  if (ok) ok = check_shape();
  if (ok) ok = read_numbers(matrix);
  if (ok) ok = read_scales(matrix);
  if (ok) ok = read_zeros(matrix);
  if (!ok) return forward_error(ok);
  return matrix;
}

}  // namespace

bool is_packed(const TensorStore& store, const std::string& name) {
  if (!name.ends_with(".weight") || store.find(name) != nullptr) return false;
  const std::string stem = name.substr(0, name.size() - kWeight.size());
  return store.find(stem + "weight_packed") != nullptr || store.find(stem + "qweight") != nullptr;
}

Result<Matrix> packed_matrix(StoredTensors& tensors, const std::string& name, std::int64_t rows,
                             std::int64_t cols) {
  return PackedReader(tensors, name, rows, cols).read();
}

}  // namespace expertscope
