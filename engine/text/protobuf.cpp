// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/protobuf.h"

namespace expertscope {

Result<std::uint64_t> ProtobufReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) return fail(ErrorCode::format, "{}: ends in the middle of a field", *where_);
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  return fail(ErrorCode::format, "{}: a number of more than 64 bits", *where_);
}

Result<std::string_view> ProtobufReader::take(std::uint64_t count) {
  if (count > rest_.size())
    return fail(ErrorCode::format, "{}: a field of {} bytes, but {} are there", *where_, count, rest_.size());
  const auto bytes = rest_.substr(0, static_cast<std::size_t>(count));
  rest_.remove_prefix(bytes.size());
  return bytes;
}

Result<std::uint64_t> ProtobufReader::fixed(std::size_t bytes) {
  const auto taken = take(bytes);
  if (!taken) return forward_error(taken);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i)
    value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>((*taken)[i])) << (8 * i);
  return value;
}

Result<std::optional<ProtobufField>> ProtobufReader::next() {
  if (rest_.empty()) return std::nullopt;
  const auto tag = varint();
  if (!tag) return forward_error(tag);
  if (*tag > UINT32_MAX || (*tag >> 3) == 0)
    return fail(ErrorCode::format, "{}: a field without a number", *where_);
  ProtobufField field;
  field.number = static_cast<std::uint32_t>(*tag >> 3);
  const auto kind = *tag & 7;
  if (kind == 2) {
    const auto length = varint();
    const auto bytes = length ? take(*length) : Result<std::string_view>(forward_error(length));
    if (!bytes) return forward_error(bytes);
    field.bytes = *bytes;
    field.has_bytes = true;
    return field;
  }
  if (kind != 0 && kind != 1 && kind != 5)
    return fail(ErrorCode::format, "{}: field {} is of no kind that protobuf has", *where_, field.number);
  const auto value = kind == 0 ? varint() : fixed(kind == 1 ? 8 : 4);
  if (!value) return forward_error(value);
  field.value = *value;
  return field;
}

}  // namespace expertscope
