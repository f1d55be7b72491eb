// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/model/tensor_names.h"

namespace expertscope {
namespace {

void replace(std::string& text, std::string_view what, int index) {
  const auto at = text.find(what);
  if (at != std::string::npos) text.replace(at, what.size(), std::to_string(index));
}

}  // namespace

std::string tensor_name(std::string_view pattern, int layer, int expert) {
  std::string name(pattern);
  replace(name, "{layer}", layer);
  replace(name, "{expert}", expert);
  return name;
}

std::string tensor_name(std::string_view pattern, std::string_view end, int layer, int expert) {
  constexpr std::string_view kWeight = ".weight";
  if (!end.empty() && pattern.ends_with(kWeight)) pattern.remove_suffix(kWeight.size());
  return tensor_name(pattern, layer, expert).append(end);
}

}  // namespace expertscope
