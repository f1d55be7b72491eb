// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/gguf_cursor.h"

#include <algorithm>
#include <array>
#include <bit>

#include "engine/formats/gguf.h"

namespace expertscope {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF numbers are read as they lie in memory");

constexpr std::size_t kMaxName = 4096;
constexpr int kMaxDepth = 4;

// gguf_metadata_value_type
constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;
/// Fewest bytes of a value by its type.
constexpr std::array<std::uint64_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

}  // namespace

GgufCursor::GgufCursor(const std::uint8_t* bytes, std::size_t size, const std::string& file)
    : bytes_(bytes), size_(std::min(size, kMaxGgufHeader)), whole_(size_ == size), file_(file) {}

void GgufCursor::refuse(const std::string& what) {
  if (status_) status_ = fail(ErrorCode::format, "{}: {}", file_, what);
}

std::string_view GgufCursor::take(std::uint64_t count, std::string_view what) {
  if (!status_) return {};
  if (count > size_ - at_) {
    refuse(whole_ ? fmt::format("the file ends before {}, which takes {} bytes at {} (truncated?)", what,
                                count, at_)
                  : fmt::format("{} would make the header longer than {} bytes", what, kMaxGgufHeader));
    return {};
  }
  const std::string_view taken(reinterpret_cast<const char*>(bytes_) + at_, static_cast<std::size_t>(count));
  at_ += taken.size();
  return taken;
}

std::string_view GgufCursor::string(std::string_view what) {
  return take(number<std::uint64_t>(what), what);
}

std::string GgufCursor::name(std::string_view what) {
  const auto text = string(what);
  if (text.size() > kMaxName) {
    refuse(fmt::format("{} has {} bytes; at most {} are read", what, text.size(), kMaxName));
    return {};
  }
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; }))
    refuse(fmt::format("{} is not printable ASCII: {}", what, json_excerpt(std::string(text))));
  return std::string(text);
}

Json GgufCursor::scalar(std::uint32_t type, const std::string& key) {
  switch (type) {
    case 0:
      return number<std::uint8_t>(key);
    case 1:
      return number<std::int8_t>(key);
    case 2:
      return number<std::uint16_t>(key);
    case 3:
      return number<std::int16_t>(key);
    case 4:
      return number<std::uint32_t>(key);
    case 5:
      return number<std::int32_t>(key);
    case 6:
      return number<float>(key);
    case 7:
      return number<std::uint8_t>(key) != 0;
    case kString:
      return std::string(string(key));
    case 10:
      return number<std::uint64_t>(key);
    case 11:
      return number<std::int64_t>(key);
    case 12:
      return number<double>(key);
    default:
      refuse(fmt::format("{}: values of type {} are not known", key, type));
      return nullptr;
  }
}

Json GgufCursor::array(const std::string& key, int depth, const std::stop_token& stop) {
  const auto type = number<std::uint32_t>(key);
  const auto count = number<std::uint64_t>(key);
  if (ok() && type >= kBytes.size()) refuse(fmt::format("{}: values of type {} are not known", key, type));
  if (ok() && depth > kMaxDepth) refuse(fmt::format("{}: arrays deeper than {}", key, kMaxDepth));
  if (ok() && count > (size_ - at_) / kBytes[type])
    refuse(fmt::format("{}: {} elements are more than the file holds (truncated?)", key, count));
  if (ok() && count > kMaxGgufElements - elements_)
    refuse(fmt::format("{}: more than {} elements in the arrays of one file", key, kMaxGgufElements));
  Json::array_t values;
  if (!ok()) return values;
  elements_ += count;
  values.reserve(static_cast<std::size_t>(count));
  constexpr std::uint64_t kBetweenChecks = 4096;
  for (std::uint64_t i = 0; i < count && ok(); ++i) {
    if (i % kBetweenChecks == 0 && stop.stop_requested())
      status_ = fail(ErrorCode::cancelled, "Reading {} was cancelled", file_);
    values.push_back(type == kArray ? array(key, depth + 1, stop) : scalar(type, key));
  }
  return values;
}

Json GgufCursor::value(const std::string& key, const std::stop_token& stop) {
  const auto type = number<std::uint32_t>(key);
  return type == kArray ? array(key, 1, stop) : scalar(type, key);
}

}  // namespace expertscope
