// SPDX-License-Identifier: GPL-3.0-or-later
// Chat templates and tokenizers for the scripts of tests/data that compare them with other programs' on files
// that are not in the repository: JSON lines in, JSON lines out.
//
//   text_probe render              {"template", "bos_token", "eos_token", "request"} -> {"text"} or {"error"}
//   text_probe encode TOKENIZER    "text" -> {"ids", "decoded"} or {"error"}; without special tokens
//   text_probe speed TOKENIZER TEXTFILE ROUNDS    -> {"load_seconds", "encode_seconds", "tokens"}, the best
//   of all
#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"
#include "tests/engine/text/fourth_of_july.h"

namespace {

using expertscope::ChatTemplate;
using expertscope::Tokenizer;
using Json = nlohmann::json;

Json render(const Json& task) {
  const auto chat =
      ChatTemplate::open(task["template"].get<std::string>(), task["bos_token"].get<std::string>(),
                         task["eos_token"].get<std::string>(), expertscope::testing::fourth_of_july);
  if (!chat) return {{"error", chat.error().message}};
  const auto text = (*chat)->render_json(task["request"].get<std::string>(), "request");
  return text ? Json{{"text", *text}} : Json{{"error", text.error().message}};
}

Json encode(const Tokenizer& tokenizer, const Json& task) {
  const auto ids = tokenizer.encode(task.get<std::string>(), false);
  if (!ids) return {{"error", ids.error().message}};
  return {{"ids", *ids}, {"decoded", tokenizer.decode(*ids)}};
}

/// The fastest of several rounds, in seconds of this process: on a shared machine, only that compares.
template <class Work>
double best_seconds(int rounds, const Work& work) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const std::clock_t begin = std::clock();
    work();
    best = std::min(best, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return best;
}

int speed(const std::string& file, const std::string& text_file, int rounds) {
  std::ifstream in(text_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  expertscope::Result<std::unique_ptr<Tokenizer>> tokenizer;
  const double load = best_seconds(rounds, [&] { tokenizer = Tokenizer::open(file); });
  if (!tokenizer) {
    std::cerr << tokenizer.error().message << '\n';
    return 1;
  }
  std::size_t tokens = 0;
  const double encode = best_seconds(rounds, [&] {
    tokens = (*tokenizer)->encode(text, false).value_or(std::vector<std::int32_t>()).size();
  });
  std::cout << Json{{"load_seconds", load}, {"encode_seconds", encode}, {"tokens", tokens}} << '\n';
  return 0;
}

template <class Work>
int for_each_line(const Work& work) {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << work(Json::parse(line)).dump(-1, ' ', true) << '\n';
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "render" && count == 2) return for_each_line(render);
  if (mode == "speed" && count == 5) return speed(arguments[2], arguments[3], std::stoi(arguments[4]));
  if (mode != "encode" || count != 3) {
    std::cerr << "usage: text_probe render | encode TOKENIZER | speed TOKENIZER TEXTFILE ROUNDS\n";
    return 2;
  }
  const auto tokenizer = Tokenizer::open(arguments[2]);
  if (!tokenizer) {
    std::cerr << tokenizer.error().message << '\n';
    return 1;
  }
  return for_each_line([&](const Json& task) { return encode(**tokenizer, task); });
}
