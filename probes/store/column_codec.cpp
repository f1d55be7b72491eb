// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/column_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

static_assert(std::endian::native == std::endian::little, "blobs are little-endian");

constexpr std::size_t kHeader = 5;  // bits, base
constexpr int kRaw = 32;
constexpr int kDropped = 13;                     // of the 23 bits behind the point
constexpr std::uint32_t kSmallest = 0x00800000;  // the smallest normal f32
constexpr std::uint32_t kInfinity = 0x7f800000;
constexpr std::uint32_t kLargestCode = (kInfinity >> kDropped) - 1;

std::size_t packed_size(std::size_t count, int bits) {
  return kHeader + (count * static_cast<std::size_t>(bits) + 7) / 8;
}

// An index as a whole number: the largest of an unsigned type stands for none.
std::int32_t whole(std::int32_t value) {
  return value;
}
std::int32_t whole(std::uint16_t value) {
  return value == std::numeric_limits<std::uint16_t>::max() ? -1 : value;
}
std::int32_t whole(std::uint8_t value) {
  return value;
}

struct Packed {
  int bits = 0;
  std::uint32_t base = 0;
  std::span<const std::byte> data;
};

bool open(std::span<const std::byte> blob, std::size_t count, Packed& packed) {
  if (blob.size() < kHeader) return false;
  packed.bits = static_cast<int>(blob[0]);
  std::memcpy(&packed.base, blob.data() + 1, sizeof packed.base);
  packed.data = blob.subspan(kHeader);
  const int least = count > static_cast<std::size_t>(kBlockTokens) ? 1 : 0;
  return packed.bits >= least && packed.bits <= kRaw && blob.size() == packed_size(count, packed.bits);
}

// The code that begins `bit` bits behind `data`. Its byte and the 7 behind it are read: it begins inside the
// byte and has at most 32 bits.
std::uint32_t code_at(const std::byte* data, std::size_t bit, std::uint64_t mask) {
  std::uint64_t held = 0;
  std::memcpy(&held, data + bit / 8, sizeof held);
  return static_cast<std::uint32_t>((held >> (bit % 8)) & mask);
}

// take(index, code) for every value; whether all were taken. No value waits for the one before it.
template <class Take>
bool unpack(const Packed& packed, std::size_t count, Take&& take) {
  const auto bits = static_cast<std::size_t>(packed.bits);
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  const std::size_t size = packed.data.size();
  // Those whose word lies in the blob; the others are in its last bytes, of which there is a longer copy.
  const std::size_t whole = size < kWord ? 0 : std::min(count, ((size - kWord) * 8 + 7) / bits + 1);
  bool good = true;
  for (std::size_t i = 0; i < whole; ++i)
    good &= take(i, code_at(packed.data.data(), i * bits, mask));
  std::array<std::byte, 2 * kWord> last{};
  const std::size_t begin = size - std::min(size, kWord);
  std::copy(packed.data.begin() + static_cast<std::ptrdiff_t>(begin), packed.data.end(), last.begin());
  for (std::size_t i = whole; i < count; ++i)
    good &= take(i, code_at(last.data(), i * bits - 8 * begin, mask));
  return good;
}

template <class T>
bool unpack_integers(std::span<const std::byte> blob, std::size_t count, std::vector<T>& values) {
  Packed packed;
  if (!open(blob, count, packed)) return false;
  const std::int64_t base = static_cast<std::int32_t>(packed.base);
  constexpr std::int64_t kLeast = std::is_same_v<T, std::uint8_t>    ? 0
                                  : std::is_same_v<T, std::uint16_t> ? -1
                                                                     : std::numeric_limits<T>::min();
  constexpr std::int64_t kMost = std::numeric_limits<T>::max() - (std::is_same_v<T, std::uint16_t> ? 1 : 0);
  values.resize(count);
  return unpack(packed, count, [&](std::size_t i, std::uint32_t code) {
    const std::int64_t value = base + code;
    values[i] = static_cast<T>(value);
    return value >= kLeast && value <= kMost;
  });
}

bool unpack_rounded(std::span<const std::byte> blob, std::size_t count, std::vector<float>& values) {
  Packed packed;
  if (!open(blob, count, packed)) return false;
  values.resize(count);
  if (packed.bits == kRaw) {
    if (count > 0) std::memcpy(values.data(), packed.data.data(), count * sizeof(float));
    return packed.base == 0;
  }
  return unpack(packed, count, [&](std::size_t i, std::uint32_t code) {
    const std::uint64_t upper = code == 0 ? 0 : std::uint64_t{packed.base} + code;
    values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(upper << kDropped));
    return upper <= kLargestCode;
  });
}

}  // namespace

// Writes codes_, of which the largest is `most`.
std::span<const std::byte> ColumnEncoder::pack(std::uint32_t base, std::uint32_t most) {
  const int least = codes_.size() > static_cast<std::size_t>(kBlockTokens) ? 1 : 0;
  const int bits = std::max(static_cast<int>(std::bit_width(most)), least);
  const std::size_t size = packed_size(codes_.size(), bits);
  bytes_.resize(size + sizeof(std::uint64_t));  // whole words are written
  bytes_[0] = static_cast<std::byte>(bits);
  std::memcpy(bytes_.data() + 1, &base, sizeof base);
  std::byte* next = bytes_.data() + kHeader;
  std::uint64_t held = 0;
  int filled = 0;
  for (const std::uint32_t code : codes_) {
    held |= std::uint64_t{code} << filled;
    filled += bits;
    if (filled < 32) continue;
    const auto word = static_cast<std::uint32_t>(held);
    std::memcpy(next, &word, sizeof word);
    next += sizeof word;
    held >>= 32;
    filled -= 32;
  }
  std::memcpy(next, &held, sizeof(std::uint32_t));
  return std::span<const std::byte>(bytes_).first(size);
}

template <class T>
std::span<const std::byte> ColumnEncoder::pack_integers(std::span<const T> values) {
  std::int32_t least = std::numeric_limits<std::int32_t>::max();
  std::int32_t most = std::numeric_limits<std::int32_t>::min();
  for (const T value : values) {
    least = std::min(least, whole(value));
    most = std::max(most, whole(value));
  }
  if (values.empty()) least = most = 0;
  const auto base = static_cast<std::uint32_t>(least);
  codes_.resize(values.size());
  std::transform(values.begin(), values.end(), codes_.begin(),
                 [base](T value) { return static_cast<std::uint32_t>(whole(value)) - base; });
  return pack(base, static_cast<std::uint32_t>(most) - base);
}

std::span<const std::byte> ColumnEncoder::round(std::span<const float> values) {
  codes_.resize(values.size());
  // Of the codes less one: that of 0 is the largest number there is.
  std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t most = 0;
  std::uint32_t odd = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto pattern = std::bit_cast<std::uint32_t>(values[i]);
    // To the nearest, and of two the even one.
    const std::uint32_t code =
        (pattern + (1u << (kDropped - 1)) - 1 + ((pattern >> kDropped) & 1)) >> kDropped;
    odd |= static_cast<std::uint32_t>(pattern >= kInfinity) |
           static_cast<std::uint32_t>(code > kLargestCode) |
           static_cast<std::uint32_t>(pattern - 1 < kSmallest - 1);
    codes_[i] = code;
    least = std::min(least, code - 1);
    most = std::max(most, code);
  }
  if (odd != 0) {
    for (std::size_t i = 0; i < values.size(); ++i)
      codes_[i] = std::bit_cast<std::uint32_t>(values[i]);
    return pack(0, std::numeric_limits<std::uint32_t>::max());
  }
  const std::uint32_t base = most == 0 ? 0 : least;
  for (std::uint32_t& code : codes_)
    code = code == 0 ? 0 : code - base;
  return pack(base, most - base);
}

std::span<const std::byte> ColumnEncoder::encode(Encoding encoding, std::span<const float> values) {
  return encoding == Encoding::rounded ? round(values) : std::as_bytes(values);
}
std::span<const std::byte> ColumnEncoder::encode(Encoding, std::span<const std::int32_t> values) {
  return pack_integers(values);
}
std::span<const std::byte> ColumnEncoder::encode(Encoding, std::span<const std::uint16_t> values) {
  return pack_integers(values);
}
std::span<const std::byte> ColumnEncoder::encode(Encoding, std::span<const std::uint8_t> values) {
  return pack_integers(values);
}

bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<float>& values) {
  if (encoding == Encoding::rounded) return unpack_rounded(blob, count, values);
  if (encoding != Encoding::f32 || blob.size() != count * sizeof(float)) return false;
  values.resize(count);
  if (count > 0) std::memcpy(values.data(), blob.data(), blob.size());
  return true;
}
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<std::int32_t>& values) {
  return encoding == Encoding::packed && unpack_integers(blob, count, values);
}
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<std::uint16_t>& values) {
  return encoding == Encoding::packed && unpack_integers(blob, count, values);
}
bool decode(Encoding encoding, std::span<const std::byte> blob, std::size_t count,
            std::vector<std::uint8_t>& values) {
  return encoding == Encoding::packed && unpack_integers(blob, count, values);
}

}  // namespace expertscope
