// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/pattern.h"

namespace expertscope {

Result<Regex> parse_pattern(const JsonFields& fields, std::string_view key) {
  const auto pattern = fields.object(key);
  if (!pattern) return forward_error(pattern);
  const std::string where = fmt::format("{}: {}", fields.file(), fields.path_of(key));
  if (pattern->has("Regex")) {
    const auto regex = pattern->string("Regex");
    if (!regex) return forward_error(regex);
    return Regex::compile(*regex, where);
  }
  const auto text = pattern->string("String");
  if (!text) return forward_error(text);
  if (text->empty()) return fields.error(ErrorCode::unsupported, key, "an empty pattern");
  return Regex::literal(*text, where);
}

}  // namespace expertscope
