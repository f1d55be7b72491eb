// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/formats/output_file.h"

namespace expertscope::cli {

/// Writes to standard output. Results go there and nothing else does.
Status write_text(std::string_view text);
/// "-", and the names that the system has for it: writing to these means write_text().
bool is_standard_output(const std::string& file);
/// check_output() for the option that names a result; also refuses "-" with a JSON document on the same
/// stream.
Status check_result(const char* option, const std::string& file, bool json,
                    std::initializer_list<ProtectedInput> inputs);
/// One indented JSON document and a newline; bytes that are not UTF-8 become U+FFFD, control characters of
/// every kind are escaped.
Status write_json(const nlohmann::ordered_json& json);

/// Writes to standard error as it is. A standard error that takes nothing is no failure.
void tell(std::string_view text);
/// A line for the person on standard error: "note: ...", in colour where the terminal has any. Control
/// characters of the text are spelled out.
void note(std::string_view text);
void print_error(std::string_view text);

/// Heading in bold when standard output is a terminal with colours (NO_COLOR turns them off).
std::string heading(std::string_view text);

/// "1,234,567".
std::string format_count(std::int64_t value);

/// A line on standard error that is drawn over itself: done, rate, time left. Draws nothing when standard
/// error is not a terminal.
class Progress {
 public:
  /// `unit` is what is counted: "tokens".
  Progress(std::string title, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `remark` is added at the end of the line.
  void update(std::int64_t done, std::int64_t total, const std::string& remark = {});
  /// A step without a count.
  void update(const std::string& what, double fraction);

 private:
  using Clock = std::chrono::steady_clock;
  bool due(bool last);
  void draw(const std::string& line);

  std::string title_;
  std::string unit_;
  bool visible_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_draw_{};
};

}  // namespace expertscope::cli
