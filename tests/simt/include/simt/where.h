// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <version>
#if defined(__cpp_lib_source_location)
#include <source_location>
#endif

namespace expertscope::simt {

/// Where in a kernel something happened, for messages: every collective takes it as its last argument.
#if defined(__cpp_lib_source_location)
using Where = std::source_location;
#else
/// As much of it as compilers have that do not know it (clang 14).
class Where {
 public:
  static constexpr Where current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    Where where;
    where.file_ = file;
    where.line_ = line;
    return where;
  }
  constexpr const char* file_name() const { return file_; }
  constexpr unsigned line() const { return line_; }
  constexpr unsigned column() const { return 0; }

 private:
  const char* file_ = "";
  unsigned line_ = 0;
};
#endif

}  // namespace expertscope::simt
