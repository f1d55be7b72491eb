// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/writer_identity.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace expertscope {
namespace {

std::string first_line(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// A trace may have thousands of rows to ask about: what cannot change is read once.
const std::string& boot_id() {
  static const std::string id = first_line("/proc/sys/kernel/random/boot_id");
  return id;
}

const std::string& pid_namespace() {
  static const std::string name = [] {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  }();
  return name;
}

// Field 22 of a thread's stat: start time in clock ticks since boot; empty when there is no such thread or it
// is a zombie, which writes nothing any more.
std::string start_time(const std::string& pid, const std::string& thread) {
  const std::string line = first_line("/proc/" + pid + "/task/" + thread + "/stat");
  // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
  const auto close = line.rfind(')');
  if (close == std::string::npos) return {};
  std::istringstream rest(line.substr(close + 1));
  std::string field;
  for (int number = 3; number <= 22 && rest >> field; ++number) {
    if (number == 3 && (field == "Z" || field == "X")) return {};
  }
  return rest ? field : std::string();
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  std::string part;
  std::istringstream in{std::string(text)};
  while (std::getline(in, part, '/'))
    parts.push_back(part);
  return parts;
}

}  // namespace

std::string writer_identity() {
  const std::string pid = std::to_string(getpid());
  const std::string thread = std::to_string(gettid());
  return fmt::format("{}/{}/{}/{}/{}", boot_id(), pid_namespace(), pid, thread, start_time(pid, thread));
}

WriterState writer_state(std::string_view identity) {
  const auto parts = split(identity);
  if (parts.size() != 5) return WriterState::gone;
  if (parts[0] != boot_id()) return WriterState::gone;
  if (parts[1] != pid_namespace()) return WriterState::unknown;
  if (!is_number(parts[2]) || !is_number(parts[3])) return WriterState::gone;
  return start_time(parts[2], parts[3]) == parts[4] ? WriterState::alive : WriterState::gone;
}

}  // namespace expertscope
