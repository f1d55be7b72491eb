// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace expertscope {

// What stands in place of a model: one sentence each, without a full stop, that says what it is and what to
// do.

/// A file after a download that went wrong, or of another format, by its first bytes: a Git LFS pointer, a
/// web page, a pickle, a GGUF file. Empty where they are nothing known.
std::string foreign_content(std::string_view beginning);

/// A file of another format by its name; the sentence begins with it. Empty where the name tells nothing.
std::string foreign_name(const std::string& name);

/// A file that was named where it is not expected: by its first bytes, or one of a model's own files, whose
/// folder is meant. Empty where it is nothing known, or cannot be read.
std::string foreign_file(const std::filesystem::path& file);

/// A folder with a LoRA adapter and no model. `base_model`: the one it changes; empty: not known.
std::string adapter_alone(const std::string& base_model);

}  // namespace expertscope
