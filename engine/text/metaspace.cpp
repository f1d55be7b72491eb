// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/metaspace.h"

#include <algorithm>
#include <array>

#include "engine/text/utf8.h"

namespace expertscope {

Result<std::string> one_character(const JsonFields& fields, std::string_view key) {
  auto text = fields.string(key);
  if (!text) return text;
  if (text->empty() || utf8_step(*text).length != text->size())
    return fields.error(ErrorCode::format, key, fmt::format("{} is not one character", json_excerpt(*text)));
  return text;
}

Result<Metaspace> Metaspace::parse(const JsonFields& fields) {
  constexpr std::array<std::string_view, 3> kSchemes = {"never", "first", "always"};
  auto replacement = one_character(fields, "replacement");
  if (!replacement) return forward_error(replacement);
  const auto scheme = fields.string_or("prepend_scheme", "always");
  if (!scheme) return forward_error(scheme);
  const auto* const known = std::find(kSchemes.begin(), kSchemes.end(), *scheme);
  if (known == kSchemes.end())
    return fields.error(ErrorCode::unsupported, "prepend_scheme",
                        fmt::format("{} is not supported", json_excerpt(*scheme)));
  return Metaspace{std::move(*replacement), static_cast<Prepend>(known - kSchemes.begin())};
}

}  // namespace expertscope
