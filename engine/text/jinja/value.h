// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace expertscope::jinja {

class Value;
struct Field;
struct Object;
using List = std::vector<Value>;

/// A mapping that keeps its keys in the order in which they came, as Python's dict does.
class Fields {
 public:
  Fields();
  Fields(std::initializer_list<Field> fields);

  Value& operator[](std::string_view key);
  /// Null where there is no such key.
  const Value* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  std::size_t size() const;
  bool empty() const { return size() == 0; }
  std::vector<Field>::const_iterator begin() const;
  std::vector<Field>::const_iterator end() const;

 private:
  std::vector<Field> fields_;
  std::map<std::string, std::size_t, std::less<>> places_;  ///< empty while there are few fields
};

/// Lists and tuples.
struct Items {
  List values;
  bool tuple = false;
  int depth = 1;
};

/// A value in a template: undefined, none, a bool, an integer, a float, a string, a list or an object.
/// Strings, lists and objects are shared, as in Python, and cannot change, but for the fields of a namespace.
/// Freeing a value recurses, so that depth() is bounded by who makes it; a namespace counts as flat, for the
/// environment outlives what it holds.
class Value {
 public:
  struct Undefined {};
  struct None {};

  Value() = default;
  Value(None) : data_(None{}) {}               // NOLINT(google-explicit-constructor)
  Value(bool value) : data_(value) {}          // NOLINT(google-explicit-constructor)
  Value(std::int64_t value) : data_(value) {}  // NOLINT(google-explicit-constructor)
  Value(double value) : data_(value) {}        // NOLINT(google-explicit-constructor)
  Value(std::string value)                     // NOLINT(google-explicit-constructor)
      : data_(std::make_shared<const std::string>(std::move(value))) {}
  Value(List value, bool tuple = false);  // NOLINT(google-explicit-constructor)
  Value(Object value);                    // NOLINT(google-explicit-constructor)
  Value(Fields value);                    // NOLINT(google-explicit-constructor): a mapping
  Value(const char*) = delete;            // would be a bool

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  /// An integer, or a bool, which is one in Python.
  std::optional<std::int64_t> number() const;
  /// A number of any kind as a float.
  std::optional<double> any_number() const;
  const std::string* string() const { return dereference<const std::string>(); }
  const List* list() const;
  bool is_tuple() const;
  Object* object() const { return dereference<Object>(); }
  /// The fields when it is a mapping, else null.
  const Fields* mapping() const;
  /// How deeply lists and objects nest in it: 0 for anything else.
  int depth() const;

  /// Python's truth: empty things, zero, none and undefined are false.
  bool truthy() const;

 private:
  template <class T>
  T* dereference() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer != nullptr ? pointer->get() : nullptr;
  }
  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const Items>, std::shared_ptr<Object>>
      data_;
};

struct Field {
  std::string name;
  Value value;
};

/// The kinds differ in what templates can do with them: only a namespace can be written to, only a mapping
/// has a length or equals another one. A function stands for one that a name has, or that Python has as a
/// method in `value.name`: templates ask whether it is there, and calls go by the name.
enum class ObjectKind : std::uint8_t { mapping, name_space, loop, function };

struct Object {
  Fields fields;
  ObjectKind kind = ObjectKind::mapping;
  int depth = 1;
};

}  // namespace expertscope::jinja
