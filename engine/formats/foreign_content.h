// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace expertscope {

/// What stands in place of a model's file after a download that went wrong, or is of another format: a Git
/// LFS pointer, a web page, a pickle, a GGUF file. One sentence that says what it is and what to do; empty
/// when the first bytes are nothing known.
std::string foreign_content(std::string_view beginning);

}  // namespace expertscope
