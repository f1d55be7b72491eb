// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/arguments.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
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

}  // namespace

Argument& Argument::required() {
  option_->required();
  return *this;
}

Argument& Argument::range(double least, double most) {
  const auto check = [least, most](const std::string& text) -> std::string {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    const bool number = !text.empty() && *end == '\0';
    if (number && value >= least && value <= most) return {};
    return fmt::format("{} is not between {} and {}", text, least, most);
  };
  option_->check(check);
  return *this;
}

Argument& Argument::one_of(const std::vector<std::string>& values) {
  const std::string names = fmt::format("{}", fmt::join(values, "|"));
  const auto check = [values, names](const std::string& text) -> std::string {
    if (std::find(values.begin(), values.end(), text) != values.end()) return {};
    return fmt::format("{} is none of {}", text, names);
  };
  option_->check(check)->type_name(names);
  return *this;
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

Argument Arguments::add(const std::string& name, std::string& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name(""));
}

Argument Arguments::add(const std::string& name, int& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("N"));
}

Argument Arguments::add(const std::string& name, std::int64_t& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("N"));
}

Argument Arguments::add(const std::string& name, std::uint64_t& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("N"));
}

Argument Arguments::add(const std::string& name, std::optional<std::string>& value, const std::string& help) {
  const auto take = [&value](const std::string& text) { value = text; };
  return Argument(app_->add_option_function<std::string>(name, take, help)->type_name(""));
}

Argument Arguments::add(const std::string& name, std::optional<int>& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("N"));
}

Argument Arguments::add(const std::string& name, std::optional<float>& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("X"));
}

Argument Arguments::add(const std::string& name, std::vector<std::int32_t>& values, const std::string& help) {
  const auto take = [&values, name](const std::string& text) {
    auto numbers = parse_numbers(text);
    if (!numbers) throw CLI::ConversionError(fmt::format("{}: {} is not a list like 1,2,3", name, text));
    values = std::move(*numbers);
  };
  return Argument(app_->add_option_function<std::string>(name, take, help)->type_name("N,N,..."));
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
