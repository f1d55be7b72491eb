// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace expertscope::cli {

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
  option_->check(CLI::IsMember(values));
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

Argument Arguments::add(const std::string& name, std::optional<int>& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("N"));
}

Argument Arguments::add(const std::string& name, std::optional<float>& value, const std::string& help) {
  return Argument(app_->add_option(name, value, help)->type_name("X"));
}

Argument Arguments::add(const std::string& name, std::vector<std::int32_t>& values, const std::string& help) {
  return Argument(app_->add_option(name, values, help)->delimiter(',')->expected(1)->type_name("N,N,..."));
}

Argument Arguments::add_flag(const std::string& name, bool& value, const std::string& help) {
  return Argument(app_->add_flag(name, value, help));
}

void Arguments::exactly_one_of(const std::string& title, std::initializer_list<Argument> arguments) {
  auto* group = app_->add_option_group(title);
  for (const Argument& argument : arguments)
    group->add_option(argument.option_);
  group->require_option(1);
}

}  // namespace expertscope::cli
