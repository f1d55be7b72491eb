// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/dataset_document.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/formats/json_fields.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

/// Takes "text" and "domain" of an object while it is parsed; builds nothing else.
class DocumentHandler : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return scalar("null"); }
  bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return scalar(fmt::format("{}", value)); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(text); }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    if (depth_ != 1) return scalar("a string");
    if (field_ != nullptr) *field_ = {Field::Kind::string, std::move(value)};
    return true;
  }
  bool start_object(std::size_t) override { return open("an object", true); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open("an array", false); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ == 1) field_ = name == "text" ? &text_ : name == "domain" ? &domain_ : nullptr;
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception& error) override {
    position = at;
    reason = error.what();
    return false;
  }

  Result<Document> take(const std::string& where) {
    if (!whole_.empty())
      return fail(ErrorCode::format, "{}: expected an object with \"text\", found {}", where, whole_);
    if (text_.kind == Field::Kind::absent)
      return fail(ErrorCode::format, "{}: text: this field is missing", where);
    const std::array<std::pair<const char*, const Field*>, 2> fields = {
        {{"text", &text_}, {"domain", &domain_}}};
    for (const auto& [name, field] : fields)
      if (field->kind == Field::Kind::other)
        return fail(ErrorCode::format, "{}: {}: expected a string, found {}", where, name, field->value);
    return Document{std::move(text_.value), std::move(domain_.value)};
  }

  std::size_t position = 0;  ///< of an error: bytes read up to it
  std::string reason;        ///< as the parser words it

 private:
  struct Field {
    enum class Kind : std::uint8_t { absent, string, other };
    Kind kind = Kind::absent;
    std::string value;  ///< or what was found instead
  };
  static constexpr std::size_t kLongestFound = 60;
  bool scalar(std::string found) {
    if (found.size() > kLongestFound) found = found.substr(0, kLongestFound) + "...";
    if (depth_ == 0)
      whole_ = std::move(found);
    else if (depth_ == 1 && field_ != nullptr)
      *field_ = found == "null" ? Field{} : Field{Field::Kind::other, std::move(found)};
    return true;
  }
  bool open(const char* what, bool object) {
    if (depth_ > 0 || !object) scalar(what);
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }

  std::size_t depth_ = 0;
  Field* field_ = nullptr;  ///< the one whose value comes next
  Field text_;
  Field domain_;
  std::string whole_;  ///< what the entry is when it is no object
};

/// The reason of a parser's message "[...] parse error at line 1, column 2: ... - REASON; last read: ..."
std::string plain_reason(std::string_view text, const DocumentHandler& handler) {
  const auto rest = text.substr(std::min(handler.position == 0 ? 0 : handler.position - 1, text.size()));
  for (const std::string_view word : {"NaN", "Infinity"})
    if (rest.starts_with(word)) return fmt::format("{} is not a value of JSON", word);
  if (rest.empty()) return "it ends too early";
  const std::string_view said = handler.reason;
  if (said.find("surrogate") != std::string_view::npos)
    return "a lone surrogate, half of a character of two \\u escapes";
  if (said.find("control character") != std::string_view::npos)
    return fmt::format("an unescaped control character, U+{:04X}", static_cast<unsigned char>(rest.front()));
  constexpr std::string_view kBefore = " - ";
  const auto begin = said.find(kBefore);
  if (begin == std::string_view::npos) return "it cannot be parsed";
  const auto reason = said.substr(begin + kBefore.size());
  return std::string(reason.substr(0, reason.find("; ")));
}

/// "FILE, line N, column M" of a byte of the entry.
std::string place_of(const Entry& entry, const std::string& file, std::size_t offset) {
  const auto before = entry.text.substr(0, offset);
  const auto breaks = std::count(before.begin(), before.end(), '\n');
  const auto column = breaks > 0 ? static_cast<std::int64_t>(before.size() - before.rfind('\n'))
                                 : entry.column + static_cast<std::int64_t>(before.size());
  return fmt::format("{}, line {}, column {}", file, entry.line + breaks, column);
}

}  // namespace

Result<Document> parse_document(const Entry& entry, const std::string& file) {
  const auto where = fmt::format("{}, line {}", file, entry.line);
  if (entry.too_long)
    return fail(ErrorCode::format, "{}: a document of more than {} bytes", where, kMaxEntryBytes);
  if (const auto invalid = find_invalid_utf8(entry.text); invalid != std::string_view::npos)
    return fail(ErrorCode::format, "{}: not valid UTF-8", place_of(entry, file, invalid));
  DocumentHandler handler;
  if (Json::sax_parse(entry.text.begin(), entry.text.end(), &handler)) return handler.take(where);
  const auto offset = std::min(handler.position == 0 ? 0 : handler.position - 1, entry.text.size());
  return fail(ErrorCode::format, "{}: not valid JSON: {}", place_of(entry, file, offset),
              plain_reason(entry.text, handler));
}

}  // namespace expertscope
