// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace expertscope::testing {

/// What a finished child process left behind.
struct ProcessResult {
  int exit_code = -1;  ///< 128 + signal when a signal ended it
  std::string out;     ///< standard output
  std::string err;     ///< standard error
};

/// Runs expertscope-cli to its end. Neither stream is a terminal. `while_running` is given the process id;
/// `input` is the file that is its standard input.
ProcessResult run_cli(const std::vector<std::string>& arguments,
                      const std::function<void(int pid)>& while_running = {},
                      const std::string& input = "/dev/null");

/// Runs a line of shell in a folder, where "$CLI" is expertscope-cli: for redirections and pipes.
ProcessResult run_shell(const std::filesystem::path& folder, const std::string& script);

/// True as soon as the condition holds; false when it does not within twenty seconds.
bool wait_until(const std::function<bool()>& condition);

/// Lets a process end by itself; one that does not is killed, which its exit code shows.
void let_end(int pid);

/// Runs it, expects success and one JSON document on standard output with nothing around it.
nlohmann::json run_cli_json(const std::vector<std::string>& arguments);

/// tests/data/<path>
std::string data_path(const std::string& path);
nlohmann::json data_json(const std::string& path);
std::string read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, const std::string& text);

/// A float32 matrix from an .npy file; a failed expectation when the header is not as NumPy writes it.
struct Npy {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;
};
Npy read_npy(const std::string& file);

/// A tensor of a golden file, as floats.
std::vector<float> golden_tensor(const std::string& file, const std::string& name);

/// Largest |a - b| divided by the largest |b|.
double relative_difference(const std::vector<float>& a, const std::vector<float>& b);

std::string join_ids(const nlohmann::json& ids);

}  // namespace expertscope::testing
