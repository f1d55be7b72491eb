// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/dataset_entries.h"

#include <algorithm>

namespace expertscope {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";

/// Where a JSON value ends, found character by character.
class ValueEnd {
 public:
  enum class Step : std::uint8_t { inside, last, behind };  ///< behind: the value ended before this character
  Step next(char c) {
    const bool first = std::exchange(first_, false);
    if (in_string_) return in_string(c);
    if (c == '"') {
      if (!first && depth_ == 0) return Step::behind;
      in_string_ = true;
      return Step::inside;
    }
    if (c == '{' || c == '[') {
      if (!first && depth_ == 0) return Step::behind;
      ++depth_;
      return Step::inside;
    }
    if (depth_ == 0) return c == ',' || c == ']' || kWhiteSpace.find(c) != npos ? Step::behind : Step::inside;
    if (c == '}' || c == ']') return --depth_ == 0 ? Step::last : Step::inside;
    return Step::inside;
  }

 private:
  static constexpr auto npos = std::string_view::npos;
  Step in_string(char c) {
    if (std::exchange(escaped_, false)) return Step::inside;
    escaped_ = c == '\\';
    if (c != '"') return Step::inside;
    in_string_ = false;
    return depth_ == 0 ? Step::last : Step::inside;
  }

  std::int64_t depth_ = 0;
  bool first_ = true;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace

/// Reads on; false at the end. What lies before the position goes.
Result<bool> EntryReader::fill() {
  if (settled_ && position_ > 0) buffer_.erase(0, std::exchange(position_, 0));
  return source_->read(buffer_);
}

void EntryReader::advance(std::size_t count) {
  const auto passed = std::string_view(buffer_).substr(position_, count);
  const auto breaks = std::count(passed.begin(), passed.end(), '\n');
  line_ += breaks;
  column_ = static_cast<std::int64_t>(breaks > 0 ? passed.size() - passed.rfind('\n') : passed.size()) +
            (breaks > 0 ? 0 : column_);
  position_ += count;
}

Result<int> EntryReader::skip_white_space() {
  for (;;) {
    const auto at = buffer_.find_first_not_of(kWhiteSpace, position_);
    advance(std::min(at, buffer_.size()) - position_);
    if (at != std::string::npos) return static_cast<unsigned char>(buffer_[at]);
    const auto more = fill();
    if (!more) return forward_error(more);
    if (!*more) return -1;
  }
}

Result<int> EntryReader::first_character() {
  std::size_t from = 0;
  for (;;) {
    const auto at = buffer_.find_first_not_of(kWhiteSpace, from);
    if (at != std::string::npos) return static_cast<unsigned char>(buffer_[at]);
    from = buffer_.size();
    const auto more = source_->read(buffer_);
    if (!more) return forward_error(more);
    if (!*more) return -1;
  }
}

Result<int> EntryReader::skip_to_first() {
  settled_ = true;
  auto first = skip_white_space();
  settled_ = false;
  buffer_.erase(0, std::exchange(position_, 0));
  first_line_ = line_;
  first_column_ = column_;
  return first;
}

void EntryReader::rewind() {
  position_ = 0;
  line_ = first_line_;
  column_ = first_column_;
  place_ = Place::start;
}

Status EntryReader::skip_line() {
  for (;;) {
    const auto end = buffer_.find('\n', position_);
    advance(std::min(end, buffer_.size() - 1) + 1 - position_);
    if (end != std::string::npos) return {};
    const auto more = fill();
    if (!more) return forward_error(more);
    if (!*more) return {};
  }
}

Result<bool> EntryReader::next_line(Entry& entry) {
  const auto first = skip_white_space();
  if (!first) return forward_error(first);
  if (*first < 0) return false;
  entry = {{}, line_, column_, false};
  std::size_t scanned = 0;
  std::size_t end = std::string::npos;
  for (;;) {
    end = buffer_.find('\n', position_ + scanned);
    scanned = std::min(end, buffer_.size()) - position_;
    entry.too_long = scanned > kMaxEntryBytes;
    if (end != std::string::npos || entry.too_long) break;
    auto more = fill();
    if (!more) return more;
    if (!*more) break;
  }
  if (entry.too_long) {
    if (!settled_) return true;
    if (const auto ok = skip_line(); !ok) return forward_error(ok);
    return true;
  }
  entry.text = std::string_view(buffer_).substr(position_, scanned);
  advance(scanned);
  return true;
}

tl::unexpected<Error> EntryReader::unexpected_here(int c) const {
  const auto what = c < 0 ? std::string("the array does not end")
                          : fmt::format("'{}' does not belong here", static_cast<char>(c));
  return fail(ErrorCode::format, "{}, line {}, column {}: not valid JSON: {}", source_->name(), line_,
              column_, what);
}

Result<bool> EntryReader::find_value() {
  auto c = skip_white_space();
  if (!c) return forward_error(c);
  const auto step_over = [&] {
    advance(1);
    c = skip_white_space();
  };
  if (place_ == Place::start) {
    place_ = *c == '[' ? Place::in_array : Place::between_values;
    if (place_ == Place::in_array) step_over();
    if (c && *c == ']' && place_ == Place::in_array) place_ = Place::after_element;
  }
  if (c && place_ == Place::after_element) {
    if (*c != ',' && *c != ']') return unexpected_here(*c);
    place_ = *c == ',' ? Place::in_array : Place::after_array;
    step_over();
  }
  if (!c) return forward_error(c);
  if (place_ == Place::after_array && *c >= 0) return unexpected_here(*c);
  if (*c < 0 && place_ != Place::in_array) return false;
  if (*c < 0 || *c == ',' || *c == ']') return unexpected_here(*c);
  return true;
}

Status EntryReader::measure_value(std::size_t& length, bool& too_long) {
  ValueEnd end;
  for (length = 0;;) {
    if (position_ + length == buffer_.size()) {
      const auto more = fill();
      if (!more) return forward_error(more);
      if (!*more) return {};
    }
    const auto step = end.next(buffer_[position_ + length]);
    if (step == ValueEnd::Step::behind) return {};
    ++length;
    too_long = too_long || length > kMaxEntryBytes;
    if (step == ValueEnd::Step::last) return {};
    if (!too_long || length < kMaxEntryBytes) continue;
    if (!settled_) return {};
    advance(std::exchange(length, 0));
  }
}

Result<bool> EntryReader::next_value(Entry& entry) {
  auto found = find_value();
  if (!found || !*found) return found;
  entry = {{}, line_, column_, false};
  std::size_t length = 0;
  if (const auto ok = measure_value(length, entry.too_long); !ok) return forward_error(ok);
  if (!entry.too_long) entry.text = std::string_view(buffer_).substr(position_, length);
  advance(length);
  if (place_ == Place::in_array) place_ = Place::after_element;
  return true;
}

}  // namespace expertscope
