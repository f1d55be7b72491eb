// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/fuzz/mutator.h"

#include <limits>

namespace expertscope::testing {

void Mutator::change_bytes(std::string& text) {
  if (text.empty()) return text.push_back(static_cast<char>(below(256)));
  const std::size_t at = below(text.size());
  const std::size_t length = std::min(text.size() - at, 1 + below(16));
  switch (below(6)) {
    case 0:
      text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
      break;
    case 1:
      text[at] = static_cast<char>(below(256));
      break;
    case 2:
      text.erase(at, length);
      break;
    case 3:
      text.insert(at, text.substr(at, length));
      break;
    case 4:
      text.insert(at, 1, "{}[]\",:0-9\\"[below(11)]);
      break;
    default:
      text.resize(at);
  }
}

std::string Mutator::bytes(std::string text) {
  for (std::size_t count = 1 + below(4); count > 0; --count)
    change_bytes(text);
  return text;
}

nlohmann::json& Mutator::pick(nlohmann::json& document) {
  nlohmann::json* node = &document;
  while (node->is_structured() && !node->empty() && below(8) != 0) {
    auto child = node->begin();
    std::advance(child, static_cast<std::ptrdiff_t>(below(node->size())));
    node = &*child;
  }
  return *node;
}

nlohmann::json Mutator::strange_value() {
  switch (below(12)) {
    case 0:
      return nullptr;
    case 1:
      return -1;
    case 2:
      return std::numeric_limits<std::int64_t>::max();
    case 3:
      return std::numeric_limits<std::uint64_t>::max();
    case 4:
      return 1e308;
    case 5:
      return 0;
    case 6:
      return std::string(below(70), 'x');
    case 7:
      return nlohmann::json::array();
    case 8:
      return nlohmann::json::object();
    case 9:
      return below(2) == 0;
    case 10:
      return below(300);
    default:
      return nlohmann::json::array({1, "two", nullptr, {{"three", 3}}});
  }
}

nlohmann::json Mutator::json(nlohmann::json document) {
  for (std::size_t count = 1 + below(3); count > 0; --count) {
    nlohmann::json& node = pick(document);
    const std::size_t choice = below(4);
    if (choice == 0 && node.is_structured() && !node.empty()) {
      auto victim = node.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(below(node.size())));
      node.erase(victim);
    } else if (choice == 1) {
      const nlohmann::json other = pick(document);
      pick(document) = other;
    } else {
      node = strange_value();
    }
  }
  return document;
}

}  // namespace expertscope::testing
