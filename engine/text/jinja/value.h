// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace expertscope::jinja {

class Value;
struct Object;
using List = std::vector<Value>;
using Fields = std::map<std::string, Value, std::less<>>;

/// A value in a template: undefined, none, a bool, an integer, a string, a list or an object. Strings, lists
/// and objects are shared, as in Python. Values do not nest deeply (freeing them recurses): no list holds a
/// list of lists or a loop, and the environment outlives what namespaces hold.
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
  Value(Object value);                                      // NOLINT(google-explicit-constructor)
  Value(Fields value);                                      // NOLINT(google-explicit-constructor): a mapping

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
  /// An integer, or a bool, which is one in Python.
  std::optional<std::int64_t> number() const;
  const std::string* string() const { return dereference<const std::string>(); }
  const List* list() const { return dereference<List>(); }
  Object* object() const { return dereference<Object>(); }
  /// The object when it is a mapping, else null.
  const Object* mapping() const;

  /// Python's truth: empty things, zero, none and undefined are false.
  bool truthy() const;
  /// What `{{ value }}` prints; nothing for lists and objects, of which Jinja would print Python's notation.
  std::optional<std::string> text() const;

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

/// The kinds differ in what templates can do with them: only a namespace can be written to, only a mapping
/// has a length or equals another one.
enum class ObjectKind : std::uint8_t { mapping, name_space, loop };

struct Object {
  Fields fields;
  ObjectKind kind = ObjectKind::mapping;
};

inline Value::Value(Object value) : data_(std::make_shared<Object>(std::move(value))) {}
inline Value::Value(Fields value) : Value(Object{std::move(value)}) {}

}  // namespace expertscope::jinja
