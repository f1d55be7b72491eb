// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "engine/formats/foreign_content.h"
#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"

namespace expertscope {
namespace {

// What values take, at most: an array that grows holds twice its elements, a member is a node of a tree.
constexpr std::size_t kElementBytes = 2 * sizeof(Json);
constexpr std::size_t kMemberBytes = 112;
constexpr std::size_t kStringBytes = 56;
constexpr std::size_t kContainerBytes = 64;

std::string describe_position(std::string_view text, std::size_t position) {
  const std::size_t at = std::min(position == 0 ? 0 : position - 1, text.size());
  const auto before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto line_start = before.rfind('\n');
  const auto column = at - (line_start == std::string_view::npos ? 0 : line_start + 1) + 1;
  return fmt::format("line {}, column {}", line, column);
}

/// A text of Python's json module as standard JSON.
class PythonText {
 public:
  explicit PythonText(std::string_view text) {
    text_.reserve(text.size());
    for (std::size_t i = 0; i < text.size();)
      i += in_string_ ? inside(text.substr(i)) : outside(text.substr(i));
  }

  std::string_view text() const { return text_; }
  /// Where a position of the new text is in the old one.
  std::size_t original(std::size_t position) const {
    const auto before = std::lower_bound(quotes_.begin(), quotes_.end(), position);
    return position - static_cast<std::size_t>(before - quotes_.begin());
  }

 private:
  // Both take what begins here and return how long it was.
  std::size_t outside(std::string_view rest) {
    for (const std::string_view name : {"NaN", "Infinity", "-Infinity"}) {
      if (!rest.starts_with(name)) continue;
      quotes_.push_back(text_.size());
      (text_ += '"').append(name) += '"';
      quotes_.push_back(text_.size() - 1);
      return name.size();
    }
    in_string_ = rest.front() == '"';
    text_ += rest.front();
    return 1;
  }

  std::size_t inside(std::string_view rest) {
    if (rest.front() != '\\') {
      in_string_ = rest.front() != '"';
      text_ += rest.front();
      return 1;
    }
    const auto unit = escape(rest);
    const bool low = unit && *unit >= 0xdc00 && *unit < 0xe000;
    const bool high = unit && *unit >= 0xd800 && *unit < 0xdc00;
    const auto next = high ? escape(rest.substr(6)) : std::nullopt;
    const bool pair = next && *next >= 0xdc00 && *next < 0xe000;
    const std::size_t length = std::min<std::size_t>(pair ? 12 : unit ? 6 : 2, rest.size());
    if (low || (high && !pair)) {
      text_ += "\\ufffd";
    } else {
      text_ += rest.substr(0, length);
    }
    return length;
  }

  /// The code unit of a text that begins with \uXXXX.
  static std::optional<unsigned> escape(std::string_view text) {
    if (!text.starts_with("\\u") || text.size() < 6) return std::nullopt;
    unsigned unit = 0;
    for (const char c : text.substr(2, 4)) {
      const bool digit = c >= '0' && c <= '9';
      const char letter = static_cast<char>(c | 0x20);
      if (!digit && (letter < 'a' || letter > 'f')) return std::nullopt;
      unit = unit * 16 + static_cast<unsigned>(digit ? c - '0' : letter - 'a' + 10);
    }
    return unit;
  }

  std::string text_;
  std::vector<std::size_t> quotes_;  ///< positions of the quotation marks that were added
  bool in_string_ = false;
};

/// Builds the document from the events of the parser and ends it at the first thing that is wrong. One pass,
/// no recursion.
class JsonBuilder final : public nlohmann::json_sax<Json> {
 public:
  JsonBuilder(const std::string& file, const JsonRules& rules, const JsonMember* member)
      : file_(file), rules_(rules), member_(member) {}

  const Status& status() const { return status_; }
  /// Where the text is not JSON; 0: it is.
  std::size_t bad_position() const { return bad_position_; }
  Json take() { return std::move(root_); }

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return value(v); }
  bool number_unsigned(number_unsigned_t v) override { return value(v); }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool string(string_t& v) override { return charge(kStringBytes + v.size()) && value(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!charge(kMemberBytes + name.size())) return false;
    const auto [at, fresh] = open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(name));
    slot_ = &at->second;
    if (fresh || rules_.duplicates == DuplicateKeys::last_wins) return true;
    return end(fail(ErrorCode::format, "{}: the key \"{}\" is there twice", file_, at->first));
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) override {
    bad_position_ = std::max<std::size_t>(at, 1);
    return false;
  }

 private:
  bool end(const Status& why) {
    status_ = why;
    return false;
  }

  bool charge(std::size_t bytes) {
    memory_ += bytes;
    if (memory_ <= rules_.max_memory) return true;
    return end(fail(ErrorCode::format, "{}: more than {} MiB of JSON in memory are refused", file_,
                    rules_.max_memory >> 20));
  }

  /// Where the next value belongs; null when it must not.
  Json* place() {
    if (rules_.stop.stop_requested()) {
      end(fail(ErrorCode::cancelled, "Reading {} was cancelled", file_));
      return nullptr;
    }
    if (open_.empty()) return &root_;
    if (open_.back()->is_object()) return slot_;
    return charge(kElementBytes) ? &open_.back()->get_ref<Json::array_t&>().emplace_back() : nullptr;
  }

  template <class T>
  bool value(T&& v) {
    Json* at = place();
    if (at == nullptr) return false;
    *at = std::forward<T>(v);
    return done();
  }

  bool open(Json container) {
    if (open_.size() >= kMaxJsonDepth)
      return end(fail(ErrorCode::format, "{}: JSON is nested deeper than {} levels", file_, kMaxJsonDepth));
    Json* at = charge(kContainerBytes) ? place() : nullptr;
    if (at == nullptr) return false;
    *at = std::move(container);
    open_.push_back(at);
    return true;
  }

  bool close() {
    open_.pop_back();
    return done();
  }

  /// A value is complete: a member of the document is given away.
  bool done() {
    if (member_ == nullptr || open_.size() != 1 || !root_.is_object()) return true;
    auto& members = root_.get_ref<Json::object_t&>();
    const auto status = (*member_)(members.begin()->first, members.begin()->second);
    members.clear();
    memory_ = 0;
    return status ? true : end(status);
  }

  const std::string& file_;
  const JsonRules& rules_;
  const JsonMember* member_;
  Json root_;
  std::vector<Json*> open_;  ///< from the document to the container that is being filled
  Json* slot_ = nullptr;     ///< of the member whose key was read last
  std::size_t memory_ = 0;
  std::size_t bad_position_ = 0;
  Status status_;
};

/// The characters of a text, until a stop is asked for: a string of it may have a hundred megabytes. Then it
/// ends with a quotation mark, so that such a string is a value, which the builder refuses; the parser would
/// put an unfinished one into its message.
class StoppableText {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  StoppableText(const char* at, const char* end, const std::stop_token& stop)
      : at_(at), end_(end), stop_(&stop) {}
  reference operator*() const { return stopped_ ? kQuote : *at_; }
  StoppableText& operator++() {
    constexpr std::ptrdiff_t kBetweenLooks = 1 << 16;
    at_ = stopped_ ? end_ : at_ + 1;
    if ((end_ - at_) % kBetweenLooks == 0 && at_ != end_) stopped_ = stop_->stop_requested();
    return *this;
  }
  StoppableText operator++(int) {
    auto before = *this;
    ++*this;
    return before;
  }
  bool operator==(const StoppableText& other) const { return at_ == other.at_; }

 private:
  static constexpr char kQuote = '"';
  const char* at_;
  const char* end_;
  const std::stop_token* stop_;
  bool stopped_ = false;
};

/// Python's spelling costs a copy of the text: only where there is something to spell.
bool has_python_spelling(std::string_view text) {
  for (const char* sign : {"NaN", "Infinity", "\\ud", "\\uD"})
    if (text.find(sign) != std::string_view::npos) return true;
  return false;
}

Result<Json> parse(std::string_view text, const std::string& file, const JsonMember* member,
                   const JsonRules& rules) {
  std::optional<PythonText> python;
  if (rules.dialect == JsonDialect::python && has_python_spelling(text)) python.emplace(text);
  const auto standard = python ? python->text() : text;
  JsonBuilder builder(file, rules, member);
  const char* end = standard.data() + standard.size();
  Json::sax_parse(StoppableText(standard.data(), end, rules.stop), StoppableText(end, end, rules.stop),
                  &builder);
  if (!builder.status()) return forward_error(builder.status());
  if (rules.stop.stop_requested()) return fail(ErrorCode::cancelled, "Reading {} was cancelled", file);
  if (builder.bad_position() == 0) return builder.take();
  if (const auto foreign = foreign_content(text); !foreign.empty())
    return fail(ErrorCode::format, "{}: {}", file, foreign);
  const auto at = builder.bad_position();
  return fail(ErrorCode::format, "{}: not valid JSON at {}", file,
              describe_position(text, python ? python->original(at) : at));
}

}  // namespace

Result<Json> parse_json(std::string_view text, const std::string& file, const JsonRules& rules) {
  return parse(text, file, nullptr, rules);
}

Result<Json> parse_json_members(std::string_view text, const std::string& file, const JsonMember& member,
                                const JsonRules& rules) {
  return parse(text, file, &member, rules);
}

Result<Json> read_json_file(const std::filesystem::path& file, std::size_t max_bytes,
                            const JsonRules& rules) {
  const auto text = read_file(file, max_bytes);
  if (!text) return forward_error(text);
  return parse_json(*text, file.string(), rules);
}

}  // namespace expertscope
