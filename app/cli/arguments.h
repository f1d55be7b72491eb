// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/cli/words.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace expertscope::cli {

/// One declared argument; every call narrows what it accepts.
class Argument {
 public:
  explicit Argument(CLI::Option* option) : option_(option) {}
  Argument& required();
  Argument& range(double least, double most);
  Argument& one_of(const std::vector<std::string>& values);
  /// The name of a file or folder to read, or of a trace to write: nothing else is meant by it.
  Argument& file();
  /// The name of a file to read or to write; "-" is standard input or output.
  Argument& file_or_stream();
  /// `check` says what is wrong with a value; nothing: it is right.
  Argument& checked_by(const std::function<std::string(const std::string&)>& check);
  /// Names the value in the help: "FILE". "TEXT" may be anything, the name of an option too.
  Argument& value_name(const std::string& name);
  /// Shows the present value as the default in the help.
  Argument& show_default();
  Argument& section(const std::string& title);
  Argument& only_with(const Argument& other);
  Argument& not_with(const Argument& other);

 private:
  friend class Arguments;
  CLI::Option* option_;
};

/// Declares the arguments of a command. The parser behind it (CLI11) is compiled in one place only.
/// A name that begins with dashes is an option, another a positional argument. Numbers are decimal, whatever
/// the locale and whatever they begin with, and one that does not fit is refused.
class Arguments {
 public:
  explicit Arguments(CLI::App& app) : app_(&app) {}
  Argument add(const std::string& name, std::string& value, const std::string& help);
  Argument add(const std::string& name, int& value, const std::string& help);
  Argument add(const std::string& name, std::int64_t& value, const std::string& help);
  Argument add(const std::string& name, std::uint64_t& value, const std::string& help);
  /// An empty word is a value like any other.
  Argument add(const std::string& name, std::optional<std::string>& value, const std::string& help);
  Argument add(const std::string& name, std::optional<int>& value, const std::string& help);
  Argument add(const std::string& name, std::optional<float>& value, const std::string& help);
  /// Numbers separated by commas, in one word.
  Argument add(const std::string& name, std::vector<std::int32_t>& values, const std::string& help);
  Argument add_flag(const std::string& name, bool& value, const std::string& help);

  /// Exactly one of these has to be given.
  void exactly_one_of(const std::string& title, const std::vector<Argument>& arguments);

  /// The options that were declared, and --help.
  std::vector<KnownOption> known() const;

 private:
  Argument declare(const std::string& name, const std::string& help,
                   const std::function<void(const std::string&)>& take);

  CLI::App* app_;
};

}  // namespace expertscope::cli
