// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "engine/formats/gguf_cursor.h"
#include "engine/formats/mapped_file.h"
#include "engine/formats/safetensors.h"
#include "engine/formats/weight_format.h"

namespace expertscope {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::uint64_t kUsualAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1u << 20;
constexpr std::uint32_t kMaxDimensions = 4;  // GGML_MAX_DIMS

/// What ggml stores tensors as.
struct TensorType {
  std::uint32_t number;
  std::string_view name;
  BlockSize block;
};
constexpr std::array kTensorTypes = {
    TensorType{0, "F32", {1, 4}},         TensorType{1, "F16", {1, 2}},
    TensorType{2, "Q4_0", {32, 18}},      TensorType{3, "Q4_1", {32, 20}},
    TensorType{6, "Q5_0", {32, 22}},      TensorType{7, "Q5_1", {32, 24}},
    TensorType{8, "Q8_0", {32, 34}},      TensorType{9, "Q8_1", {32, 40}},
    TensorType{10, "Q2_K", {256, 84}},    TensorType{11, "Q3_K", {256, 110}},
    TensorType{12, "Q4_K", {256, 144}},   TensorType{13, "Q5_K", {256, 176}},
    TensorType{14, "Q6_K", {256, 210}},   TensorType{15, "Q8_K", {256, 292}},
    TensorType{16, "IQ2_XXS", {256, 66}}, TensorType{17, "IQ2_XS", {256, 74}},
    TensorType{18, "IQ3_XXS", {256, 98}}, TensorType{19, "IQ1_S", {256, 50}},
    TensorType{20, "IQ4_NL", {32, 18}},   TensorType{21, "IQ3_S", {256, 110}},
    TensorType{22, "IQ2_S", {256, 82}},   TensorType{23, "IQ4_XS", {256, 136}},
    TensorType{24, "I8", {1, 1}},         TensorType{25, "I16", {1, 2}},
    TensorType{26, "I32", {1, 4}},        TensorType{27, "I64", {1, 8}},
    TensorType{28, "F64", {1, 8}},        TensorType{29, "IQ1_M", {256, 56}},
    TensorType{30, "BF16", {1, 2}},       TensorType{34, "TQ1_0", {256, 54}},
    TensorType{35, "TQ2_0", {256, 66}},   TensorType{39, "GGUF's MXFP4", {32, 17}}};

const TensorType* find_type(std::uint32_t number) {
  const auto* it = std::find_if(kTensorTypes.begin(), kTensorTypes.end(),
                                [&](const TensorType& type) { return type.number == number; });
  return it == kTensorTypes.end() ? nullptr : it;
}

struct Counts {
  std::uint64_t tensors = 0;
  std::uint64_t keys = 0;
};

Result<Counts> read_counts(GgufCursor& cursor, const std::string& file) {
  const auto magic = cursor.take(kMagic.size(), "the magic number");
  if (magic != kMagic) return fail(ErrorCode::format, "{}: this is no GGUF file", file);
  const auto version = cursor.number<std::uint32_t>("the version");
  if (cursor.ok() && version != 0 && (version & 0xffffu) == 0)
    return fail(ErrorCode::unsupported,
                "{}: a big-endian GGUF file, which is not read; convert the model again on a little-endian "
                "machine",
                file);
  if (cursor.ok() && version != 2 && version != 3)
    return fail(ErrorCode::unsupported,
                "{}: GGUF version {}, and only 2 and 3 are read; convert the model again with a current "
                "llama.cpp",
                file, version);
  Counts counts;
  counts.tensors = cursor.number<std::uint64_t>("the number of tensors");
  counts.keys = cursor.number<std::uint64_t>("the number of keys");
  if (counts.tensors > kMaxTensors)
    cursor.refuse(fmt::format("{} tensors; at most {} are read", counts.tensors, kMaxTensors));
  if (!cursor.ok()) return forward_error(cursor.status());
  return counts;
}

Status read_metadata(GgufCursor& cursor, std::uint64_t keys, const std::stop_token& stop, Json& metadata) {
  for (std::uint64_t i = 0; i < keys && cursor.ok(); ++i) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "Reading {} was cancelled", cursor.file());
    const std::string key = cursor.name("a key");
    Json value = cursor.value(key, stop);
    if (!cursor.ok()) break;
    if (!metadata.emplace(key, std::move(value)).second)
      cursor.refuse(fmt::format("the key \"{}\" is there twice", key));
  }
  return cursor.status();
}

GgufTensor read_tensor(GgufCursor& cursor) {
  GgufTensor tensor;
  tensor.name = cursor.name("the name of a tensor");
  const auto refuse = [&](const std::string& what) {
    cursor.refuse(fmt::format("tensor {}: {}", tensor.name, what));
    return tensor;
  };
  const auto dimensions = cursor.number<std::uint32_t>("the dimensions of a tensor");
  if (dimensions > kMaxDimensions)
    return refuse(fmt::format("{} dimensions; at most 4 are read", dimensions));
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto extent = cursor.number<std::uint64_t>("the shape of a tensor");
    if (extent > std::numeric_limits<std::int64_t>::max()) return refuse("its shape is larger than any file");
    tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(extent));
  }
  const auto number = cursor.number<std::uint32_t>("the type of a tensor");
  tensor.offset = cursor.number<std::uint64_t>("the place of a tensor");
  if (!cursor.ok()) return tensor;
  const auto* type = find_type(number);
  if (type == nullptr) return refuse(fmt::format("type {} is not known", number));
  tensor.format = type->name;
  const auto row = tensor.shape.empty() ? 1 : static_cast<std::uint64_t>(tensor.shape.back());
  if (row % type->block.elements != 0)
    return refuse(fmt::format("rows of {} elements are no whole number of blocks of {}, as {} has them", row,
                              type->block.elements, type->name));
  const auto bytes = type->block.bytes_of(tensor.shape);
  if (!bytes) return refuse(fmt::format("shape {} is larger than any file", shape_text(tensor.shape)));
  tensor.bytes = *bytes;
  return tensor;
}

Result<std::uint64_t> read_alignment(const Json& metadata, const std::string& file) {
  const auto fields = JsonFields::of(metadata, file);
  if (!fields) return forward_error(fields);
  const auto alignment = fields->integer_or("general.alignment", kUsualAlignment, 1, kMaxAlignment);
  if (!alignment) return forward_error(alignment);
  const auto value = static_cast<std::uint64_t>(*alignment);
  if ((value & (value - 1)) != 0)
    return fields->error(ErrorCode::format, "general.alignment", fmt::format("{} is no power of two", value));
  return value;
}

/// Makes the offsets those of the file, after checking them.
Status place_tensors(GgufHeader& header, std::uint64_t size, const std::string& file) {
  const auto alignment = read_alignment(header.metadata, file);
  if (!alignment) return forward_error(alignment);
  const std::uint64_t start = (header.bytes + *alignment - 1) / *alignment * *alignment;
  const std::uint64_t data = size > start ? size - start : 0;
  auto& tensors = header.tensors;
  std::sort(tensors.begin(), tensors.end(), [](const GgufTensor& a, const GgufTensor& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  std::uint64_t end = 0;
  const GgufTensor* before = nullptr;
  for (auto& tensor : tensors) {
    if (tensor.bytes > data || tensor.offset > data - tensor.bytes)
      return fail(ErrorCode::format,
                  "{}: tensor {}: {} bytes at {}, but the file holds {} bytes of data (truncated?)", file,
                  tensor.name, tensor.bytes, tensor.offset, data);
    if (tensor.offset % *alignment != 0)
      return fail(ErrorCode::format, "{}: tensor {}: its data are not aligned to {} bytes", file, tensor.name,
                  *alignment);
    if (tensor.offset < end && tensor.bytes > 0)
      return fail(ErrorCode::format, "{}: tensor {}: its data overlap those of tensor {}", file, tensor.name,
                  before->name);
    end = std::max(end, tensor.offset + tensor.bytes);
    tensor.offset += start;
    before = &tensor;
  }
  return {};
}

/// The first of two equal names.
template <class Tensor>
Status check_names(const std::vector<Tensor>& tensors, const std::string& file) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const auto& tensor : tensors)
    names.emplace_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return {};
  return fail(ErrorCode::format, "{}: tensor {} is there twice", file, *twice);
}

}  // namespace

Result<GgufHeader> parse_gguf(const std::uint8_t* bytes, std::size_t size, const std::string& file,
                              const std::stop_token& stop) {
  GgufCursor cursor(bytes, size, file);
  const auto counts = read_counts(cursor, file);
  if (!counts) return forward_error(counts);
  GgufHeader header;
  if (auto ok = read_metadata(cursor, counts->keys, stop, header.metadata); !ok) return forward_error(ok);
  for (std::uint64_t i = 0; i < counts->tensors && cursor.ok(); ++i) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "Reading {} was cancelled", file);
    header.tensors.push_back(read_tensor(cursor));
  }
  header.bytes = cursor.at();
  Status ok = cursor.status();
  if (ok) ok = check_names(header.tensors, file);
  if (ok) ok = place_tensors(header, size, file);
  if (!ok) return forward_error(ok);
  return header;
}

namespace {

/// "-00001-of-00003" of a name; `count` 0: it has none.
struct PartName {
  std::string stem;
  int number = 0;
  int count = 0;
};

PartName part_name(const std::filesystem::path& file) {
  constexpr std::size_t kDigits = 5;
  constexpr std::size_t kSuffix = 1 + kDigits + 4 + kDigits;  // "-00001-of-00003"
  const std::string stem = file.stem().string();
  if (file.extension() != ".gguf" || stem.size() <= kSuffix) return {};
  const std::string suffix = stem.substr(stem.size() - kSuffix);
  const auto number = [&](std::size_t at) {
    const std::string digits = suffix.substr(at, kDigits);
    const bool good = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    return good ? std::stoi(digits) : 0;
  };
  if (suffix[0] != '-' || suffix.substr(1 + kDigits, 4) != "-of-") return {};
  return {stem.substr(0, stem.size() - kSuffix), number(1), number(1 + kDigits + 4)};
}

std::filesystem::path part_path(const std::filesystem::path& file, const PartName& name, int number) {
  return file.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", name.stem, number, name.count);
}

/// Checks what a file says of itself as a part: split.no counts from 0.
Status check_part(const Json& metadata, const std::filesystem::path& file, int number, int count) {
  const auto fields = JsonFields::of(metadata, file.string());
  if (!fields) return forward_error(fields);
  constexpr std::int64_t kMost = 65535;
  const auto parts = fields->integer_or("split.count", 1, 0, kMost);
  if (!parts) return forward_error(parts);
  const auto part = fields->integer_or("split.no", 0, 0, kMost);
  if (!part) return forward_error(part);
  if (*parts <= 1 && count <= 1) return {};
  const PartName name = part_name(file);
  if (number == 1 && *part != 0 && name.count == *parts)
    return fail(ErrorCode::invalid_argument, "{}: this is part {} of {}; open the first, {}", file.string(),
                *part + 1, *parts, part_path(file, name, 1).string());
  if (*parts != count || *part + 1 != number || name.number != number)
    return fail(
        ErrorCode::mismatch,
        "{}: the file says that it is part {} of {}, which its name does not say; give the parts back "
        "the names they had",
        file.string(), *part + 1, *parts);
  return {};
}

}  // namespace

std::vector<std::filesystem::path> gguf_parts(const std::filesystem::path& file) {
  const PartName name = part_name(file);
  if (name.number != 1 || name.count < 2) return {file};
  std::vector<std::filesystem::path> parts;
  for (int number = 1; number <= name.count; ++number)
    parts.push_back(part_path(file, name, number));
  return parts;
}

bool is_gguf(const std::filesystem::path& file) {
  const auto mapped = MappedFile::open(file);
  return mapped && mapped->size() >= kMagic.size() &&
         std::memcmp(mapped->data(), kMagic.data(), kMagic.size()) == 0;
}

Result<GgufModel> open_gguf(const std::filesystem::path& file, const ShardProgress& progress,
                            const std::stop_token& stop) {
  GgufModel model;
  model.source.place = file;
  model.source.described_by = "its header";
  const auto parts = gguf_parts(file);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string name = parts[i].string();
    if (progress) progress(parts[i].filename().string(), i, parts.size());
    const auto there = is_there(parts[i]);
    if (!there) return forward_error(there);
    if (!*there) return fail(ErrorCode::io, "{}: this part of the model is missing; download it too", name);
    auto mapped = MappedFile::open(parts[i]);
    if (!mapped) return forward_error(mapped);
    auto header = parse_gguf(mapped->data(), mapped->size(), name, stop);
    if (!header) return forward_error(header);
    auto ok = check_part(header->metadata, parts[i], static_cast<int>(i) + 1, static_cast<int>(parts.size()));
    if (!ok) return forward_error(ok);
    const auto kept = std::make_shared<const MappedFile>(std::move(*mapped));
    for (auto& tensor : header->tensors)
      model.source.tensors.push_back({std::move(tensor.name), std::string(tensor.format),
                                      std::move(tensor.shape), kept->data() + tensor.offset, tensor.bytes,
                                      &kept->path()});
    if (i == 0) {
      model.metadata = std::move(header->metadata);
      model.header.assign(reinterpret_cast<const char*>(kept->data()), header->bytes);
    }
    model.source.files.push_back(kept);
  }
  if (auto ok = check_names(model.source.tensors, file.string()); !ok) return forward_error(ok);
  return model;
}

}  // namespace expertscope
