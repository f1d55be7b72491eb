// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>

// What a template may ask for. Templates come with models, so all of it is untrusted.
namespace expertscope::jinja {

/// Operators, subscripts, filters and tests of one expression: a chain makes a tree as deep as it is long,
/// and evaluating and freeing a tree recurse.
inline constexpr int kMaxOperators = 256;
/// Macros within macros, and expressions within expressions through all of them.
inline constexpr int kMaxMacroDepth = 16;
inline constexpr int kMaxExpressionDepth = 1000;
/// Lists and mappings within each other: printing, comparing and freeing a value recurse.
inline constexpr int kMaxValueDepth = 128;
/// Arguments of a call, parameters of a macro.
inline constexpr std::size_t kMaxArguments = 64;

/// Bytes of a string, elements of a list.
inline constexpr std::size_t kMaxString = 16u << 20;
inline constexpr std::int64_t kMaxList = 100'000;

/// Bytes that one rendering may touch; a conversation of a million characters needs a few percent of it.
inline constexpr std::size_t kMaxWork = 256u << 20;
inline constexpr std::size_t kMaxOutput = 16u << 20;

// What operations count for in the same unit, besides the bytes they touch.
inline constexpr std::size_t kStepCost = 128;
inline constexpr std::size_t kLookupCost = 32;  ///< a name and its bytes, for each scope it is looked up in
inline constexpr std::size_t kListElementCost = 64;
inline constexpr std::size_t kNewStringCost = 128;  ///< a string of its own, besides its bytes
inline constexpr std::size_t kMatchCost = 16;
inline constexpr std::size_t kIterationCost = 4096;

}  // namespace expertscope::jinja
