// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/arguments.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

namespace expertscope::cli {
namespace {

std::optional<std::vector<std::int32_t>> parse_numbers(const std::string& text) {
  std::vector<std::int32_t> numbers;
  const char* position = text.data();
  const char* end = position + text.size();
  while (true) {
    std::int32_t number = 0;
    const auto parsed = std::from_chars(position, end, number);
    if (parsed.ec != std::errc{}) return std::nullopt;
    numbers.push_back(number);
    if (parsed.ptr == end) return numbers;
    if (*parsed.ptr != ',') return std::nullopt;
    position = parsed.ptr + 1;
  }
}

/// All of the text is one number of this kind. Neither the locale nor a leading zero has a say.
template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return number;
}

/// "--ctx" of "--ctx,--context", as the parser names it.
std::string first_name(const std::string& names) {
  return names.substr(0, names.find(','));
}

template <class Number, class Value>
auto take_whole(const std::string& name, Value& value) {
  return [&value, name = first_name(name)](const std::string& text) {
    const auto number = parse_number<Number>(text);
    if (!number) {
      using Limits = std::numeric_limits<Number>;
      throw CLI::ValidationError(
          name, fmt::format("{} is not a whole number from {} to {}", text.empty() ? "nothing" : text,
                            Limits::min(), Limits::max()));
    }
    value = *number;
  };
}

/// What is wrong with a name of a file; nothing: it is one.
std::string name_problem(const std::string& name) {
  if (name.empty()) return "the name of the file is empty";
  if (name == "-" || name == ":memory:")
    return fmt::format("{} is not a file; one of that name is ./{}", name, name);
  return {};
}

}  // namespace

Argument& Argument::required() {
  option_->required();
  return *this;
}

Argument& Argument::range(double least, double most) {
  return checked_by([least, most](const std::string& text) -> std::string {
    const auto value = parse_number<double>(text);
    if (value && *value >= least && *value <= most) return {};
    return fmt::format("{} is not a number from {} to {}", text.empty() ? "nothing" : text, least, most);
  });
}

Argument& Argument::one_of(const std::vector<std::string>& values) {
  const std::string names = fmt::format("{}", fmt::join(values, "|"));
  option_->type_name(names);
  return checked_by([values, names](const std::string& text) -> std::string {
    if (std::find(values.begin(), values.end(), text) != values.end()) return {};
    return fmt::format("{} is none of {}{}", text.empty() ? "nothing" : text, names,
                       did_you_mean(text, values));
  });
}

Argument& Argument::file() {
  return checked_by(name_problem);
}

Argument& Argument::file_or_stream() {
  return checked_by([](const std::string& name) { return name == "-" ? std::string() : name_problem(name); });
}

Argument& Argument::checked_by(const std::function<std::string(const std::string&)>& check) {
  option_->check(check);
  return *this;
}

Argument& Argument::value_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

Argument& Argument::show_default() {
  option_->capture_default_str();
  return *this;
}

Argument& Argument::section(const std::string& title) {
  option_->group(title);
  return *this;
}

Argument& Argument::only_with(const Argument& other) {
  option_->needs(other.option_);
  return *this;
}

Argument& Argument::not_with(const Argument& other) {
  option_->excludes(other.option_);
  return *this;
}

std::vector<KnownOption> Arguments::known() const {
  std::vector<KnownOption> known;
  for (const CLI::Option* option : std::as_const(*app_).get_options()) {
    const bool takes_value = option->get_items_expected_max() > 0;
    const bool takes_any = option->get_type_name() == "TEXT";
    for (const std::string& name : option->get_snames())
      known.push_back({"-" + name, takes_value, takes_any});
    for (const std::string& name : option->get_lnames())
      known.push_back({"--" + name, takes_value, takes_any});
  }
  return known;
}

Argument Arguments::declare(const std::string& name, const std::string& help,
                            const std::function<void(const std::string&)>& take) {
  return Argument(app_->add_option_function<std::string>(name, take, help)->type_name("N"));
}

Argument Arguments::add(const std::string& name, std::string& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name(""));
}

Argument Arguments::add(const std::string& name, int& value, const std::string& help) {
  Argument argument = declare(name, help, take_whole<int>(name, value));
  argument.option_->default_function([&value] { return fmt::format("{}", value); });
  return argument;
}

Argument Arguments::add(const std::string& name, std::int64_t& value, const std::string& help) {
  Argument argument = declare(name, help, take_whole<std::int64_t>(name, value));
  argument.option_->default_function([&value] { return fmt::format("{}", value); });
  return argument;
}

Argument Arguments::add(const std::string& name, std::uint64_t& value, const std::string& help) {
  Argument argument = declare(name, help, take_whole<std::uint64_t>(name, value));
  argument.option_->default_function([&value] { return fmt::format("{}", value); });
  return argument;
}

Argument Arguments::add(const std::string& name, std::optional<std::string>& value, const std::string& help) {
  const auto take = [&value](const std::string& text) { value = text; };
  return Argument(app_->add_option_function<std::string>(name, take, help)->type_name(""));
}

Argument Arguments::add(const std::string& name, std::optional<int>& value, const std::string& help) {
  return declare(name, help, take_whole<int>(name, value));
}

Argument Arguments::add(const std::string& name, std::optional<float>& value, const std::string& help) {
  const auto take = [&value, name](const std::string& text) {
    const auto number = parse_number<double>(text);  // one that is too small for a float is 0
    if (!number) throw CLI::ValidationError(first_name(name), fmt::format("{} is not a number", text));
    value = static_cast<float>(*number);
  };
  Argument argument = declare(name, help, take);
  argument.value_name("X");
  return argument;
}

Argument Arguments::add(const std::string& name, std::vector<std::int32_t>& values, const std::string& help) {
  const auto take = [&values, name](const std::string& text) {
    auto numbers = parse_numbers(text);
    if (!numbers)
      throw CLI::ValidationError(first_name(name), fmt::format("{} is not a list like 1,2,3", text));
    values = std::move(*numbers);
  };
  Argument argument = declare(name, help, take);
  argument.value_name("N,N,...");
  return argument;
}

Argument Arguments::add_flag(const std::string& name, bool& value, const std::string& help) {
  return Argument(app_->add_flag(name, value, help));
}

void Arguments::exactly_one_of(const std::string& title, const std::vector<Argument>& arguments) {
  std::vector<CLI::Option*> options;
  std::string names;
  for (const Argument& argument : arguments) {
    options.push_back(argument.option_->group(title));
    names += (names.empty() ? "" : ", ") + argument.option_->get_name();
  }
  app_->parse_complete_callback([options, names] {
    const auto given =
        std::count_if(options.begin(), options.end(), [](auto* option) { return option->count() > 0; });
    if (given != 1)
      throw CLI::ValidationError(fmt::format("exactly one of {} is needed", names),
                                 CLI::ExitCodes::RequiredError);
  });
}

}  // namespace expertscope::cli
