// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/formats/tensor_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace expertscope {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  constexpr std::ptrdiff_t kShown = 8;
  if (std::ssize(shape) <= kShown) return fmt::format("[{}]", fmt::join(shape, ", "));
  return fmt::format("[{}, ... ({} dimensions)]", fmt::join(shape.begin(), shape.begin() + kShown, ", "),
                     shape.size());
}

TensorStore::TensorStore(TensorSource source) : source_(std::move(source)) {
  auto& tensors = source_.tensors;
  std::sort(tensors.begin(), tensors.end(),
            [](const SourceTensor& a, const SourceTensor& b) { return a.name < b.name; });
  for (const auto& tensor : tensors)
    total_bytes_ += static_cast<std::int64_t>(tensor.bytes);
}

const SourceTensor* TensorStore::find(std::string_view name) const {
  const auto& tensors = source_.tensors;
  const auto it =
      std::lower_bound(tensors.begin(), tensors.end(), name,
                       [](const SourceTensor& tensor, std::string_view key) { return tensor.name < key; });
  return it == tensors.end() || it->name != name ? nullptr : &*it;
}

}  // namespace expertscope
