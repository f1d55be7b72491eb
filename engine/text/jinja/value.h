// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace expertscope::jinja {

class Value;
using List = std::vector<Value>;
using Object = std::map<std::string, Value, std::less<>>;

/// A value in a template: undefined, none, a bool, an integer, a string, a list or an object. Strings, lists
/// and objects are shared, as in Python.
class Value {
 public:
  struct Undefined {};
  struct None {};

  Value() = default;
  Value(None) : data_(None{}) {}               // NOLINT(google-explicit-constructor)
  Value(bool value) : data_(value) {}          // NOLINT(google-explicit-constructor)
  Value(std::int64_t value) : data_(value) {}  // NOLINT(google-explicit-constructor)
  Value(std::string value)
      : data_(std::make_shared<const std::string>(std::move(value))) {
  }  // NOLINT(google-explicit-constructor)
  Value(List value)
      : data_(std::make_shared<List>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  Value(Object value)
      : data_(std::make_shared<Object>(std::move(value))) {}  // NOLINT(google-explicit-constructor)

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
  const std::string* string() const { return dereference<const std::string>(); }
  const List* list() const { return dereference<List>(); }
  Object* object() const { return dereference<Object>(); }

  /// Python's truth: empty things, zero, none and undefined are false.
  bool truthy() const;
  /// What `{{ value }}` prints.
  std::string text() const;
  friend bool operator==(const Value& a, const Value& b);

 private:
  template <class T>
  T* dereference() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }
  std::variant<Undefined, None, bool, std::int64_t, std::shared_ptr<const std::string>, std::shared_ptr<List>,
               std::shared_ptr<Object>>
      data_;
};

}  // namespace expertscope::jinja
