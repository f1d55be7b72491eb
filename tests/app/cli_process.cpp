// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/app/cli_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "engine/formats/safetensors.h"

namespace expertscope::testing {
namespace {

[[noreturn]] void become(const std::vector<std::string>& words, const std::string& input, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  dup2(open(input.c_str(), O_RDONLY), STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  setenv("CLI", EXPERTSCOPE_CLI, 1);
  execv(argv[0], argv.data());
  _exit(127);
}

/// Reads both pipes until both are closed, whichever has something.
void drain(int out, int err, ProcessResult& result) {
  std::array<pollfd, 2> pipes = {pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}};
  std::array<std::string*, 2> texts = {&result.out, &result.err};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    if (poll(pipes.data(), pipes.size(), -1) < 0) return;
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].revents == 0) continue;
      std::array<char, 4096> bytes;
      const ssize_t count = read(pipes[i].fd, bytes.data(), bytes.size());
      if (count > 0) {
        texts[i]->append(bytes.data(), static_cast<std::size_t>(count));
      } else {
        close(std::exchange(pipes[i].fd, -1));
      }
    }
  }
}

ProcessResult run_process(const std::vector<std::string>& words,
                          const std::function<void(int pid)>& while_running, const std::string& input) {
  std::array<int, 2> out;
  std::array<int, 2> err;
  ProcessResult result;
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) return result;
  const pid_t child = fork();
  if (child == 0) become(words, input, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  std::thread reader([&] { drain(out[0], err[0], result); });
  if (while_running) while_running(child);
  reader.join();
  int status = 0;
  waitpid(child, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace

ProcessResult run_cli(const std::vector<std::string>& arguments,
                      const std::function<void(int pid)>& while_running, const std::string& input) {
  std::vector<std::string> words = {EXPERTSCOPE_CLI};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_process(words, while_running, input);
}

ProcessResult run_shell(const std::filesystem::path& folder, const std::string& script) {
  return run_process({"/bin/sh", "-c", "cd '" + folder.string() + "' && " + script}, {}, "/dev/null");
}

bool wait_until(const std::function<bool()>& condition) {
  constexpr int kPatience = 20'000;  // milliseconds
  for (int waited = 0; waited < kPatience; ++waited) {
    if (condition()) return true;
    usleep(1000);
  }
  return false;
}

void let_end(int pid) {
  const auto ended = [pid] {
    siginfo_t info = {};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid;
  };
  if (!wait_until(ended)) kill(pid, SIGKILL);
}

nlohmann::json run_cli_json(const std::vector<std::string>& arguments) {
  const ProcessResult result = run_cli(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  nlohmann::json json = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << result.out;
  return json;
}

std::string data_path(const std::string& path) {
  return std::string(EXPERTSCOPE_SOURCE_DIR) + "/tests/data/" + path;
}

nlohmann::json data_json(const std::string& path) {
  return nlohmann::json::parse(read_file(data_path(path)));
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  EXPECT_TRUE(stream) << file;
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  EXPECT_TRUE(stream.flush()) << file;
}

Npy read_npy(const std::string& file) {
  const std::string bytes = read_file(file);
  Npy npy;
  if (bytes.size() < 10 || bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) != 0) {
    ADD_FAILURE() << file << ": not an .npy file of version 1.0";
    return npy;
  }
  const std::size_t length =
      static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, length);
  long long rows = 0, columns = 0;
  const int fields = std::sscanf(
      header.c_str(), "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %lld)", &rows, &columns);
  EXPECT_EQ(fields, 2) << header;
  EXPECT_EQ((10 + length) % 64, 0u) << "the data has to be aligned";
  EXPECT_EQ(header.back(), '\n');
  npy.rows = rows;
  npy.columns = columns;
  npy.values.resize((bytes.size() - 10 - length) / sizeof(float));
  std::memcpy(npy.values.data(), bytes.data() + 10 + length, npy.values.size() * sizeof(float));
  EXPECT_EQ(static_cast<long long>(npy.values.size()), rows * columns);
  return npy;
}

std::vector<float> golden_tensor(const std::string& file, const std::string& name) {
  const auto opened = SafetensorsFile::open(data_path(file));
  if (!opened) {
    ADD_FAILURE() << opened.error().message;
    return {};
  }
  for (const TensorEntry& tensor : opened->tensors()) {
    if (tensor.name != name) continue;
    std::vector<float> values(tensor.bytes / sizeof(float));
    std::memcpy(values.data(), opened->data(tensor), tensor.bytes);
    return values;
  }
  ADD_FAILURE() << file << ": no tensor " << name;
  return {};
}

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    difference = std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return difference / largest;
}

std::string join_ids(const nlohmann::json& ids) {
  std::string text;
  for (const auto& id : ids)
    text += (text.empty() ? "" : ",") + std::to_string(id.get<int>());
  return text;
}

}  // namespace expertscope::testing
