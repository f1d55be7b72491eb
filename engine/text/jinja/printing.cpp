// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/jinja/printing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/text/utf8.h"

namespace expertscope::jinja {
namespace {

/// Python's repr() of a float: fmt writes the same shortest digits, but no ".0".
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  auto text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

/// Python's repr() of a string.
void append_quoted(std::string& out, std::string_view text) {
  const bool other = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = other ? '"' : '\'';
  out += quote;
  while (!text.empty()) {
    const auto step = utf8_step(text);
    const auto c = static_cast<std::uint32_t>(step.code_point);
    if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c == '\\' || c == static_cast<std::uint32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (is_printable(step.code_point)) {
      out += text.substr(0, step.length);
    } else {
      out += c < 0x100     ? fmt::format("\\x{:02x}", c)
             : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                           : fmt::format("\\U{:08x}", c);
    }
    text.remove_prefix(step.length);
  }
  out += quote;
}

/// Python's repr(). Recurses as deeply as values nest.
class Printer {
 public:
  explicit Printer(Environment& env) : env_(env) {}

  void print(const Value& value) {
    if (const auto* text = value.string()) {
      if (charge(text->size())) append_quoted(out_, *text);
    } else if (const auto* list = value.list()) {
      print_list(*list, value.is_tuple());
    } else if (const auto* fields = value.mapping()) {
      print_mapping(*fields);
    } else if (value.is_undefined()) {
      out_ += "Undefined";
    } else if (charge(0)) {
      out_ += printed(value, env_);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  bool charge(std::size_t bytes) {
    if (out_.size() > kMaxString) env_.error("a string grows too long");
    return !env_.failed() && env_.charge(kListElementCost + bytes);
  }

  void print_list(const List& list, bool tuple) {
    out_ += tuple ? '(' : '[';
    for (std::size_t i = 0; i < list.size() && charge(0); ++i) {
      if (i > 0) out_ += ", ";
      print(list[i]);
    }
    if (tuple && list.size() == 1) out_ += ',';
    out_ += tuple ? ')' : ']';
  }

  void print_mapping(const Fields& fields) {
    out_ += '{';
    bool first = true;
    for (const auto& [name, value] : fields) {
      if (!charge(name.size())) return;
      if (!first) out_ += ", ";
      first = false;
      append_quoted(out_, name);
      out_ += ": ";
      print(value);
    }
    out_ += '}';
  }

  Environment& env_;
  std::string out_;
};

class JsonPrinter {
 public:
  JsonPrinter(const JsonStyle& style, Environment& env) : style_(style), env_(env) {}

  void print(const Value& value, std::size_t level) {
    if (!charge(0)) return;
    if (const auto* text = value.string()) {
      if (charge(text->size())) append_string(*text);
    } else if (const auto* list = value.list()) {
      print_list(*list, level);
    } else if (const auto* fields = value.mapping()) {
      print_mapping(*fields, level);
    } else if (const auto* flag = value.boolean()) {
      out_ += *flag ? "true" : "false";
    } else if (value.is_none()) {
      out_ += "null";
    } else if (const auto* real = value.real()) {
      out_ += std::isnan(*real)   ? "NaN"
              : std::isinf(*real) ? (*real > 0 ? "Infinity" : "-Infinity")
                                  : float_text(*real);
    } else if (const auto* integer = value.integer()) {
      out_ += std::to_string(*integer);
    } else {
      env_.error("tojson of something that has no JSON");
    }
  }
  std::string take() { return std::move(out_); }

 private:
  bool charge(std::size_t bytes) {
    if (out_.size() > kMaxString) env_.error("a string grows too long");
    return !env_.failed() && env_.charge(kListElementCost + bytes);
  }

  void line(std::size_t level) {
    if (!style_.indented) return;
    out_ += '\n';
    for (std::size_t i = 0; i < level && charge(style_.indent.size()); ++i)
      out_ += style_.indent;
  }

  void print_list(const List& list, std::size_t level) {
    out_ += '[';
    for (std::size_t i = 0; i < list.size() && !env_.failed(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      line(level + 1);
      print(list[i], level + 1);
    }
    if (!list.empty()) line(level);
    out_ += ']';
  }

  void print_mapping(const Fields& fields, std::size_t level) {
    std::vector<const Field*> order;
    for (const auto& field : fields)
      order.push_back(&field);
    if (style_.sorted)
      std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
    out_ += '{';
    for (std::size_t i = 0; i < order.size() && charge(order[i]->name.size()); ++i) {
      if (i > 0) out_ += style_.item_separator;
      line(level + 1);
      append_string(order[i]->name);
      out_ += style_.key_separator;
      print(order[i]->value, level + 1);
    }
    if (!order.empty()) line(level);
    out_ += '}';
  }

  void append_string(std::string_view text) {
    constexpr std::string_view kNamed = "\"\\\n\r\t\f\b";
    constexpr std::string_view kNames = "\"\\nrtfb";
    out_ += '"';
    while (!text.empty()) {
      const auto step = utf8_step(text);
      const auto c = static_cast<std::uint32_t>(step.code_point);
      const auto named = c < 0x80 ? kNamed.find(static_cast<char>(c)) : std::string_view::npos;
      if (named != std::string_view::npos) {
        out_ += '\\';
        out_ += kNames[named];
      } else if (c < 0x20 || (style_.ascii && c > 0x7E && c < 0x10000)) {
        out_ += fmt::format("\\u{:04x}", c);
      } else if (style_.ascii && c >= 0x10000) {
        out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF));
      } else {
        out_ += text.substr(0, step.length);
      }
      text.remove_prefix(step.length);
    }
    out_ += '"';
  }

  const JsonStyle& style_;
  Environment& env_;
  std::string out_;
};

}  // namespace

std::string printed(const Value& value, Environment& env) {
  if (const auto* text = value.string()) return *text;
  if (const auto* integer = value.integer()) return std::to_string(*integer);
  if (const auto* real = value.real()) return float_text(*real);
  if (const auto* flag = value.boolean()) return *flag ? "True" : "False";
  if (value.is_none()) return "None";
  if (value.is_undefined()) return "";
  if (value.list() == nullptr && value.mapping() == nullptr) {
    env.error("an object as text");
    return {};
  }
  Printer printer(env);
  printer.print(value);
  return printer.take();
}

std::string to_json(const Value& value, const JsonStyle& style, Environment& env) {
  JsonPrinter printer(style, env);
  printer.print(value, 0);
  return printer.take();
}

}  // namespace expertscope::jinja
