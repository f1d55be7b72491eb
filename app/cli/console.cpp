// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/console.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "engine/formats/descriptor.h"
#include "engine/text/visible_text.h"

namespace expertscope::cli {
namespace {

/// https://no-color.org: any value but the empty one turns colours off.
bool colours_wanted(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return isatty(descriptor) == 1 && terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

/// A message may quote a file.
void print_labelled(const char* colour, const char* label, std::string_view message) {
  const std::string text = visible_text(message);
  // On a terminal, a line of progress may stand there.
  const char* begin = isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "";
  if (colours_wanted(STDERR_FILENO)) {
    tell(fmt::format("{}\033[{}m{}:\033[0m {}\n", begin, colour, label, text));
  } else {
    tell(fmt::format("{}{}: {}\n", begin, label, text));
  }
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

Status write_text(std::string_view text) {
  const int problem = write_fully(STDOUT_FILENO, text);
  if (problem == 0) return {};
  return fail(is_no_room(problem) ? ErrorCode::disk_full : ErrorCode::io, "standard output: cannot write: {}",
              std::generic_category().message(problem));
}

bool is_standard_output(const std::string& file) {
  constexpr std::array<std::string_view, 4> kNames = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"};
  return std::find(kNames.begin(), kNames.end(), file) != kNames.end();
}

Status check_result(const char* option, const std::string& file, bool json,
                    std::initializer_list<ProtectedInput> inputs) {
  if (is_standard_output(file)) {
    if (!json) return {};
    return fail(ErrorCode::invalid_argument, "{} - and --json both write to standard output; use one of them",
                option);
  }
  Status output = check_output(file, inputs);
  if (!output) return fail(output.error().code, "{}: {}", option, output.error().message);
  return output;
}

void tell(std::string_view text) {
  (void)write_fully(STDERR_FILENO, text);  // nobody is left to be told that it failed
}

Status write_json(const nlohmann::ordered_json& json) {
  const std::string text = json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return write_text(visible_text(text, LineBreaks::keep) + "\n");
}

void note(std::string_view text) {
  print_labelled("36", "note", text);
}

void print_error(std::string_view text) {
  print_labelled("31", "error", text);
}

std::string heading(std::string_view text) {
  return colours_wanted(STDOUT_FILENO) ? fmt::format("\033[1m{}\033[0m", text) : std::string(text);
}

std::string format_count(std::int64_t value) {
  const std::string digits = std::to_string(value);
  const std::size_t sign = value < 0 ? 1 : 0;
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

Progress::Progress(std::string title, std::string unit)
    : title_(std::move(title)), unit_(std::move(unit)), visible_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (drawn_) tell("\r\033[K");
}

bool Progress::due(bool last) {
  const auto now = Clock::now();
  if (!visible_ || (!last && now - last_draw_ < std::chrono::milliseconds(100))) return false;
  last_draw_ = now;
  return true;
}

void Progress::draw(const std::string& line) {
  tell(fmt::format("\r\033[K{}", visible_text(line)));
  drawn_ = true;
}

void Progress::update(std::int64_t done, std::int64_t total, const std::string& remark) {
  if (!due(done >= total) || total <= 0) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line = fmt::format("{}  {} / {} {}  {} %", title_, format_count(done), format_count(total),
                                 unit_, 100 * done / total);
  if (rate > 0) {
    const double left = static_cast<double>(total - done) / rate;
    line += fmt::format("  {:.{}f} {}/s  {} left", rate, rate < 10 ? 2 : 0, unit_, format_duration(left));
  }
  if (!remark.empty()) line += "  " + remark;
  draw(line);
}

void Progress::update(const std::string& what, double fraction) {
  if (due(fraction >= 1)) draw(fmt::format("{}  {:.0f} %  {}", title_, 100 * fraction, what));
}

}  // namespace expertscope::cli
