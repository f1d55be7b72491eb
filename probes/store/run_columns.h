// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "probes/store/run_info.h"
#include "probes/store/schema.h"

namespace expertscope {

/// The member of a RunInfo that a column of table `run` holds. Numbers are INTEGER; everything else is TEXT:
/// layers as a JSON list of those that are marked, probes as their names with commas between.
using RunMember = std::variant<std::string RunInfo::*, std::int64_t RunInfo::*, int RunInfo::*,
                               std::string ModelIdentity::*, std::int64_t ModelIdentity::*,
                               std::vector<std::uint8_t> RunInfo::*, CaptureRequest RunInfo::*>;

/// A column of table `run`. CREATE, INSERT and SELECT, the check of what a file says and SPEC.md follow.
struct RunColumn {
  enum class Null : std::uint8_t {
    never,
    when_empty,  ///< NULL stands for 0 or an empty text
    key,         ///< the same, and SQLite gives the row a number then
  };

  const char* name;
  RunMember member;
  const char* meaning;
  std::int64_t most = kMaxText;  ///< of a number; of a text, bytes
  std::int64_t least = 0;        ///< of a number
  Null null = Null::never;
};

/// All columns, in the order in which they are checked: a column that others are checked against comes first.
std::span<const RunColumn> run_columns();

/// "INTEGER" or "TEXT".
const char* sql_type(const RunColumn& column);
/// What follows the name in CREATE TABLE.
std::string sql_declaration(const RunColumn& column);

}  // namespace expertscope
