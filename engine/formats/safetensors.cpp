// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "engine/formats/foreign_content.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/tensor_source.h"

namespace expertscope {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxMemberMemory = std::size_t{16} << 20;  // of a tensor, or of all metadata
constexpr auto kMaxInt64 = std::numeric_limits<std::int64_t>::max();

/// Bits per element of every type the format defines; nullopt for a name that it does not.
std::optional<std::uint64_t> bits_of(std::string_view dtype) {
  struct Type {
    std::string_view name;
    std::uint64_t bits;
  };
  constexpr std::array kTypes = {
      Type{"BOOL", 8},    Type{"F4", 4},          Type{"F6_E2M3", 6},     Type{"F6_E3M2", 6},
      Type{"U8", 8},      Type{"I8", 8},          Type{"F8_E5M2", 8},     Type{"F8_E4M3", 8},
      Type{"F8_E8M0", 8}, Type{"F8_E4M3FNUZ", 8}, Type{"F8_E5M2FNUZ", 8}, Type{"I16", 16},
      Type{"U16", 16},    Type{"F16", 16},        Type{"BF16", 16},       Type{"I32", 32},
      Type{"U32", 32},    Type{"F32", 32},        Type{"C64", 64},        Type{"F64", 64},
      Type{"I64", 64},    Type{"U64", 64}};
  const auto* it = std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& t) { return t.name == dtype; });
  if (it == kTypes.end()) return std::nullopt;
  return it->bits;
}

/// Bytes of shape x bits; nullopt when it overflows or does not end at a byte.
std::optional<std::uint64_t> byte_count(const std::vector<std::int64_t>& shape, std::uint64_t bits) {
  std::uint64_t total = bits;
  for (const auto extent : shape)
    if (__builtin_mul_overflow(total, static_cast<std::uint64_t>(extent), &total)) return std::nullopt;
  if (total % 8 != 0) return std::nullopt;
  return total / 8;
}

Result<TensorEntry> parse_entry(const std::string& name, const Json& value, const std::string& file) {
  if (name.size() > kMaxTensorName)
    return fail(ErrorCode::format, "{}: a tensor's name of {} bytes; at most {} are allowed", file,
                name.size(), kMaxTensorName);
  const auto fields = JsonFields::of(value, file, fmt::format("tensor {}", name));
  if (!fields) return forward_error(fields);
  const auto dtype = fields->string("dtype");
  if (!dtype) return forward_error(dtype);
  auto shape = fields->integers("shape", 0, kMaxInt64);
  if (!shape) return forward_error(shape);
  const auto offsets = fields->integers("data_offsets", 0, kMaxInt64);
  if (!offsets) return forward_error(offsets);
  if (offsets->size() != 2 || (*offsets)[0] > (*offsets)[1])
    return fields->error(ErrorCode::format, "data_offsets", "expected [begin, end] with begin <= end");
  const auto bits = bits_of(*dtype);
  if (!bits)
    return fields->error(ErrorCode::format, "dtype", fmt::format("\"{}\" is not a safetensors type", *dtype));

  TensorEntry entry{name, *dtype, std::move(*shape), 0, 0};
  entry.offset = static_cast<std::uint64_t>((*offsets)[0]);
  entry.bytes = static_cast<std::uint64_t>((*offsets)[1] - (*offsets)[0]);
  const auto expected = byte_count(entry.shape, *bits);
  if (!expected)
    return fields->error(ErrorCode::format, "shape",
                         fmt::format("{} is larger than any file", shape_text(entry.shape)));
  if (*expected != entry.bytes)
    return fields->error(ErrorCode::format, "data_offsets",
                         fmt::format("{} bytes, but shape {} of {} needs {}", entry.bytes,
                                     shape_text(entry.shape), entry.dtype, *expected));
  return entry;
}

Status check_metadata(const Json& value, const std::string& file) {
  const bool good = value.is_null() ||
                    (value.is_object() &&
                     std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); }));
  if (!good) return fail(ErrorCode::format, "{}: __metadata__ is not an object of strings", file);
  return {};
}

/// The data of all tensors must cover the data section exactly: the format forbids overlaps and holes.
Status check_layout(std::vector<TensorEntry>& entries, std::uint64_t data_size, const std::string& file) {
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    if (entry.bytes > data_size || entry.offset > data_size - entry.bytes)
      return fail(ErrorCode::format,
                  "{}: tensor {}: data_offsets end at {}, but the file holds {} bytes of data (truncated?)",
                  file, entry.name, entry.offset + entry.bytes, data_size);
    if (entry.offset < end)
      return fail(ErrorCode::format, "{}: tensor {}: its data overlap those of tensor {}", file, entry.name,
                  entries[i - 1].name);
    if (entry.offset > end)
      return fail(ErrorCode::format, "{}: tensor {}: {} unused bytes stand before its data", file, entry.name,
                  entry.offset - end);
    end = entry.offset + entry.bytes;
  }
  if (end != data_size)
    return fail(ErrorCode::format, "{}: {} bytes follow the last tensor", file, data_size - end);
  return {};
}

Status check_names(const std::vector<TensorEntry>& entries, const std::string& file) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const auto& entry : entries)
    names.emplace_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return {};
  return fail(ErrorCode::format, "{} (header): the key \"{}\" is there twice", file, *twice);
}

Result<std::string_view> header_text(const std::uint8_t* bytes, std::size_t size, const std::string& file) {
  constexpr std::size_t kSignature = 64;
  const std::string_view beginning(reinterpret_cast<const char*>(bytes), std::min(size, kSignature));
  // The length of a header can look like the start of another format.
  const bool header = beginning.substr(std::min(beginning.size(), kLengthBytes)).starts_with('{');
  if (const auto foreign = foreign_content(beginning); !header && !foreign.empty())
    return fail(ErrorCode::format, "{}: {}", file, foreign);
  if (size < kLengthBytes)
    return fail(ErrorCode::format, "{}: {} bytes are too few for a safetensors file", file, size);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    length |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  if (length > kMaxSafetensorsHeader)
    return fail(ErrorCode::format, "{}: header length {} exceeds the {} bytes allowed (not safetensors?)",
                file, length, kMaxSafetensorsHeader);
  if (length > size - kLengthBytes)
    return fail(ErrorCode::format, "{}: header of {} bytes in a file of {} (truncated?)", file, length, size);
  return std::string_view(reinterpret_cast<const char*>(bytes) + kLengthBytes,
                          static_cast<std::size_t>(length));
}

}  // namespace

Result<std::vector<TensorEntry>> parse_safetensors(const std::uint8_t* bytes, std::size_t size,
                                                   const std::string& file, const std::stop_token& stop) {
  const auto text = header_text(bytes, size, file);
  if (!text) return forward_error(text);
  std::vector<TensorEntry> entries;
  const auto take = [&](const std::string& name, const Json& value) -> Status {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "Reading {} was cancelled", file);
    if (name == "__metadata__") return check_metadata(value, file);
    auto entry = parse_entry(name, value, file);
    if (!entry) return forward_error(entry);
    if (entries.size() == kMaxTensors)
      return fail(ErrorCode::format, "{}: more than {} tensors in one file are refused", file, kMaxTensors);
    entries.push_back(std::move(*entry));
    return {};
  };
  const JsonRules rules{.duplicates = DuplicateKeys::refuse, .max_memory = kMaxMemberMemory, .stop = stop};
  const auto rest = parse_json_members(*text, fmt::format("{} (header)", file), take, rules);
  if (!rest) return forward_error(rest);
  if (const auto header = JsonFields::of(*rest, file, "header"); !header) return forward_error(header);
  Status ok = check_names(entries, file);
  if (ok) ok = check_layout(entries, size - kLengthBytes - text->size(), file);
  if (!ok) return forward_error(ok);
  return entries;
}

SafetensorsFile::SafetensorsFile(MappedFile file, std::vector<TensorEntry> tensors)
    : file_(std::move(file)), tensors_(std::move(tensors)) {
  std::uint64_t total = 0;
  for (const auto& tensor : tensors_)
    total += tensor.bytes;
  data_ = file_.data() + (file_.size() - total);
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& file,
                                              const std::stop_token& stop) {
  auto mapped = MappedFile::open(file);
  if (!mapped) return forward_error(mapped);
  auto tensors = parse_safetensors(mapped->data(), mapped->size(), file.string(), stop);
  if (!tensors) return forward_error(tensors);
  return SafetensorsFile(std::move(*mapped), std::move(*tensors));
}

}  // namespace expertscope
