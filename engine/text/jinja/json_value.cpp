// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/json_value.h"

#include <limits>

#include "engine/formats/json_fields.h"

namespace expertscope::jinja {
namespace {

/// Builds the value from the events of a text that is known to be JSON and to have bounds.
class ValueBuilder final : public nlohmann::json_sax<Json> {
 public:
  Value take() { return std::move(root_); }

  bool null() override { return add(Value::None{}); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(static_cast<std::int64_t>(v)); }
  bool number_unsigned(number_unsigned_t v) override {
    constexpr auto kLargest = static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max());
    return v <= kLargest ? add(static_cast<std::int64_t>(v)) : add(static_cast<double>(v));
  }
  bool number_float(number_float_t v, const string_t&) override { return add(v); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  struct Container {
    bool is_mapping;
    List list = {};
    Fields fields = {};
    std::string key = {};
  };

  bool open(bool is_mapping) {
    open_.push_back({is_mapping});
    return true;
  }

  bool close() {
    Container closed = std::move(open_.back());
    open_.pop_back();
    return add(closed.is_mapping ? Value(std::move(closed.fields)) : Value(std::move(closed.list)));
  }

  bool add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_mapping) {
      open_.back().fields[open_.back().key] = std::move(value);
    } else {
      open_.back().list.push_back(std::move(value));
    }
    return true;
  }

  Value root_;
  std::vector<Container> open_;
};

}  // namespace

Result<Value> parse_value(std::string_view json, const std::string& file) {
  // The parser of untrusted files finds the errors and holds the bounds; only the order of keys is not its.
  if (const auto document = parse_json(json, file); !document) return forward_error(document);
  ValueBuilder builder;
  if (!Json::sax_parse(json, &builder)) return fail(ErrorCode::format, "{}: not JSON", file);
  return builder.take();
}

}  // namespace expertscope::jinja
