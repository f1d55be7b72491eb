// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace expertscope::report {

/// Text for element content and quoted attributes, line breaks kept. Whatever comes in, what comes out is
/// valid UTF-8 in which visible_text() has spelled out what hides or rearranges other text.
std::string escape(std::string_view text);

/// The bytes of a token so that a person can read them, in quotes, as visible_text() has them. Not escaped
/// for HTML yet.
std::string token_text(std::string_view bytes);

/// JSON for a <script> element: nothing in it can end the element or open a comment, or hides from who reads
/// the page's source. The same JSON.
std::string script_json(const std::string& json);

// Numbers as numbers.h has them.
std::string grouped(std::int64_t value);
std::string number(double value);
std::string percent(double share);

/// <table> with a header row; cells are HTML already. Columns named in `numeric` are right-aligned.
struct Column {
  std::string title;
  bool numeric = false;
};
std::string table(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows);

}  // namespace expertscope::report
