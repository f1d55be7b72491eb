// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/stored_tensors.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "engine/formats/f8.h"
#include "engine/model/nvfp4_weights.h"
#include "engine/model/packed_weights.h"

namespace expertscope {
namespace {

using Shape = StoredTensors::Shape;

/// Misaligned tensors are copied up to this size; beyond it the file is refused instead of filling memory.
constexpr std::int64_t kMaxCopiedBytes = std::int64_t{2} << 30;

/// How a plane of scales is stored; null for what it may not be.
const WeightFormat* scale_format(const SourceTensor& tensor) {
  const WeightFormat* format =
      tensor.format == kE8M0Format.name ? &kE8M0Format : find_weight_format(tensor.format);
  const bool plain = format != nullptr && format->block.elements == 1 && format->scales.rows == 0;
  return plain ? format : nullptr;
}

/// Of memory, whoever uses it.
std::int64_t machine_bytes() {
  return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

/// Of a shape that a tensor in memory has.
std::int64_t element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape)
    count *= extent;
  return count;
}

/// `shape` with a scale for every block.
Shape blocks_of(Shape shape, const ScaleBlock& block) {
  const auto count = [](std::int64_t extent, std::int64_t size) {
    return extent / size + (extent % size != 0);
  };
  std::int64_t& rows = shape[shape.size() - 2];
  rows = count(rows, block.rows);
  shape.back() = count(shape.back(), block.cols);
  return shape;
}

/// What a plane of such scales has one for: all of a matrix, each matrix of a stack, each row, or blocks. An
/// axis of one scale may be left out. Nullopt for any other shape.
std::optional<ScaleBlock> scale_block(const Shape& weights, Shape scales, const ScaleBlock& block) {
  const std::int64_t rows = weights[weights.size() - 2];
  const std::int64_t cols = weights.back();
  if (scales == blocks_of(weights, block)) return ScaleBlock{std::min(block.rows, rows), block.cols};
  const std::int64_t all = element_count(weights) / std::max<std::int64_t>(cols, 1);
  if (element_count(scales) == 1) return ScaleBlock{std::max<std::int64_t>(all, 1), cols};
  const Shape outer(weights.begin(), weights.end() - 2);
  while (!scales.empty() && scales.back() == 1)
    scales.pop_back();
  if (scales == outer) return ScaleBlock{rows, cols};
  Shape each = outer;
  each.push_back(rows);
  if (scales == each) return ScaleBlock{1, cols};
  return std::nullopt;
}

std::string shapes_of_scales(const Shape& weights, const ScaleBlock& block) {
  Shape rows(weights.begin(), weights.end() - 1);
  rows.push_back(1);
  return fmt::format("expected one scale, {} for rows, or {} for {} x {} weights", shape_text(rows),
                     shape_text(blocks_of(weights, block)), block.rows, block.cols);
}

}  // namespace

Result<const SourceTensor*> StoredTensors::locate(const std::string& name, const Shape& shape) {
  if (name.empty())
    return fail(ErrorCode::unsupported, "{}: {} asks for a tensor {} that {} has no name for",
                store_.place().string(), store_.described_by(), shape_text(shape), config_.architecture);
  const auto* tensor = store_.find(name);
  if (tensor == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} {} is missing", store_.place().string(), name,
                shape_text(shape));
  if (tensor->shape != shape)
    return fail(ErrorCode::mismatch, "{}: tensor {} has shape {}, but {} asks for {}", tensor->file->string(),
                name, shape_text(tensor->shape), store_.described_by(), shape_text(shape));
  used_[tensor - store_.tensors().data()] = 1;
  return tensor;
}

Result<const SourceTensor*> StoredTensors::find(const std::string& name, const Shape& shape) {
  auto located = locate(name, shape);
  if (!located) return located;
  const SourceTensor* tensor = *located;
  const auto& file = *tensor->file;
  const WeightFormat* format = find_weight_format(tensor->format);
  if (format == nullptr)
    return fail(ErrorCode::unsupported, "{}: tensor {} is {}; weights must be one of {}", file.string(), name,
                tensor->format, weight_format_names());
  if (format->block.bytes_of(shape) != tensor->bytes)
    return fail(ErrorCode::format, "{}: tensor {} {} of {} has {} bytes", file.string(), name,
                shape_text(shape), format->name, tensor->bytes);
  if (format->scales.rows > 0 && shape.size() < 2)
    return fail(ErrorCode::unsupported, "{}: tensor {} {} is {}, which only matrices may be", file.string(),
                name, shape_text(shape), format->name);
  return tensor;
}

Result<const std::uint8_t*> StoredTensors::integers(const std::string& name, const Shape& shape,
                                                    const char* format, std::uint64_t element_bytes) {
  const auto tensor = locate(name, shape);
  if (!tensor) return forward_error(tensor);
  if ((*tensor)->format != format || (BlockSize{1, element_bytes}).bytes_of(shape) != (*tensor)->bytes)
    return fail(ErrorCode::unsupported, "{}: tensor {} {} is {} of {} bytes, and not {}",
                (*tensor)->file->string(), name, shape_text(shape), (*tensor)->format, (*tensor)->bytes,
                format);
  return (*tensor)->data;
}

Result<std::byte*> StoredTensors::turned(const SourceTensor& tensor, std::size_t bytes) {
  turned_bytes_ += static_cast<std::int64_t>(bytes);
  if (turned_bytes_ > machine_bytes())
    return fail(
        ErrorCode::out_of_memory,
        "{}: tensor {} lies transposed and is turned in memory, as all up to it are: {} bytes, more than the "
        "machine has",
        tensor.file->string(), tensor.name, turned_bytes_);
  std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes]);
  if (memory == nullptr)
    return fail(ErrorCode::out_of_memory, "{}: no memory to turn tensor {}, which lies transposed",
                tensor.file->string(), tensor.name);
  copies_.push_back(std::move(memory));
  return copies_.back().get();
}

Result<const void*> StoredTensors::aligned(const SourceTensor& tensor, const WeightFormat& format) {
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

Result<StoredTensors::Scales> StoredTensors::scales(const SourceTensor& tensor, const WeightFormat& format) {
  const auto* found = store_.find(tensor.name + "_scale_inv");
  if (found == nullptr) found = store_.find(tensor.name + "_scale");
  if (found == nullptr)
    return fail(ErrorCode::mismatch, "{}: tensor {} is {}, and its scales {}_scale_inv or _scale are missing",
                tensor.file->string(), tensor.name, format.name, tensor.name);
  const auto damaged = [&](const std::string& what) {
    return fail(ErrorCode::mismatch, "{}: tensor {} {}: {}", found->file->string(), found->name,
                shape_text(found->shape), what);
  };
  const WeightFormat* stored = scale_format(*found);
  if (stored == nullptr)
    return damaged(fmt::format("scales must be F32, F16, BF16 or F8_E8M0, these are {}", found->format));
  if (stored->block.bytes_of(found->shape) != found->bytes)
    return damaged(fmt::format("{} bytes of {}", found->bytes, stored->name));
  const auto block = scale_block(tensor.shape, found->shape, quantization_.f8_block);
  if (!block) return damaged(shapes_of_scales(tensor.shape, quantization_.f8_block));
  used_[found - store_.tensors().data()] = 1;
  const std::int64_t count = element_count(found->shape);
  auto bytes = std::make_unique<std::byte[]>(static_cast<std::size_t>(count) * sizeof(float));
  auto* plane = reinterpret_cast<float*>(bytes.get());
  stored->dequantise({found->data}, 0, count, plane);
  if (!std::all_of(plane, plane + count, [](float scale) { return std::fabs(scale) <= kLargestScale; }))
    return damaged("a scale is not a finite number");
  copies_.push_back(std::move(bytes));
  return Scales{plane, *block};
}

Result<Matrix> StoredTensors::view(const SourceTensor& tensor, std::int64_t rows, std::int64_t cols) {
  const WeightFormat& format = *find_weight_format(tensor.format);
  const auto data = aligned(tensor, format);
  if (!data) return forward_error(data);
  if (format.scales.rows == 0) return Matrix{*data, &format, rows, cols};
  const auto plane = scales(tensor, format);
  if (!plane) return forward_error(plane);
  return Matrix{*data, &format, rows, cols, plane->plane, 1, plane->block};
}

const float* StoredTensors::kept(std::span<const float> numbers) {
  copies_.push_back(std::make_unique<std::byte[]>(numbers.size_bytes()));
  std::memcpy(copies_.back().get(), numbers.data(), numbers.size_bytes());
  return reinterpret_cast<const float*>(copies_.back().get());
}

Result<Matrix> StoredTensors::matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
  if (is_nvfp4(store_, name)) return nvfp4_matrix(*this, name, rows, cols);
  if (is_packed(store_, name)) return packed_matrix(*this, name, rows, cols);
  const auto tensor = find(name, {rows, cols});
  if (!tensor) return forward_error(tensor);
  return view(**tensor, rows, cols);
}

}  // namespace expertscope
