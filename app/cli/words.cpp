// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/words.h"

#include <algorithm>
#include <cstddef>

namespace expertscope::cli {
namespace {

/// Letters to change, add, leave out or swap with the next one to make `a` of `b` (optimal string alignment).
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> steps(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        steps[i][j] = i + j;
        continue;
      }
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      steps[i][j] = std::min({steps[i - 1][j] + 1, steps[i][j - 1] + 1, steps[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        steps[i][j] = std::min(steps[i][j], steps[i - 2][j - 2] + 1);
    }
  }
  return steps[a.size()][b.size()];
}

std::string without_dashes(const std::string& name) {
  return name.substr(std::min(name.find_first_not_of('-'), name.size()));
}

const KnownOption* find(const std::vector<KnownOption>& options, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  const auto found =
      std::find_if(options.begin(), options.end(), [&](const auto& option) { return option.name == name; });
  return found == options.end() ? nullptr : &*found;
}

tl::unexpected<Error> unknown(const std::string& command, const std::string& word,
                              const std::vector<KnownOption>& options) {
  std::vector<std::string> names;
  for (const KnownOption& option : options)
    names.push_back(option.name);
  const std::string name = word.substr(0, word.find('='));
  return fail(ErrorCode::invalid_argument, "{} has no option {}{}", command, name, did_you_mean(name, names));
}

}  // namespace

std::string did_you_mean(const std::string& typed, const std::vector<std::string>& names) {
  constexpr std::size_t kLongest = 64;  // nobody means a name by more
  const std::string word = without_dashes(typed);
  if (word.empty() || word.size() > kLongest) return {};
  std::size_t best = std::max<std::size_t>(word.size() / 3, 1) + 1;
  const std::string* nearest = nullptr;
  for (const std::string& name : names) {
    const std::string other = without_dashes(name);
    const bool beginning = word.size() >= 3 && other.starts_with(word);
    const std::size_t away = beginning ? 1 : distance(word, other);
    if (other.size() < 2 || away >= best) continue;
    best = away;
    nearest = &name;
  }
  return nearest == nullptr ? std::string() : fmt::format("; did you mean {}?", *nearest);
}

Result<std::vector<std::string>> checked_words(const std::string& command,
                                               const std::vector<std::string>& words,
                                               const std::vector<KnownOption>& options) {
  std::vector<std::string> checked;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {  // only arguments follow
      checked.insert(checked.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    checked.push_back(word);
    if (word.size() < 2 || word.front() != '-') continue;
    const KnownOption* option = find(options, word);
    if (option == nullptr) return unknown(command, word, options);
    const bool has_value = word.find('=') != std::string::npos;
    if (has_value && !option->takes_value)
      return fail(ErrorCode::invalid_argument, "{} takes no value", option->name);
    if (word.back() == '=' && word.size() == option->name.size() + 1) {
      checked.back() = option->name;
      checked.emplace_back();
    }
    if (has_value || !option->takes_value) continue;
    if (i + 1 == words.size()) return fail(ErrorCode::invalid_argument, "{} needs a value", option->name);
    const std::string& value = words[++i];
    if (!option->takes_any && find(options, value) != nullptr) {
      return fail(ErrorCode::invalid_argument, "{} needs a value, and {} is an option (as a value: {}={})",
                  option->name, value, option->name, value);
    }
    checked.push_back(value);
  }
  return checked;
}

}  // namespace expertscope::cli
