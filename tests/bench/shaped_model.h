// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/error.h"
#include "engine/model/model.h"
#include "tests/support/model_shape.h"

namespace expertscope::bench {

/// Shapes by name: "qwen3-30b-a3b", "olmoe-1b-7b" (under the architecture of Qwen3-MoE: queries and
/// keys normed head by head) and "tiny", for where time means nothing. The error lists them.
Result<testing::ModelShape> shape_named(const std::string& name);

/// A BF16 model of exact shape in little host memory: every matrix is a slice of one of a few random
/// buffers, one for each scale, at an offset of its own. On a device each has an address of its own, so that
/// a step reads as much as of any model of this shape. The scales keep the residual stream near 1.
class ShapedModel {
 public:
  /// Fails with out_of_memory when the buffers cannot be had: two of the vocabulary's size and `pool_bytes`
  /// for each other scale, at least the largest matrix.
  static Result<ShapedModel> make(const testing::ModelShape& config, std::size_t pool_bytes,
                                  std::uint64_t seed = 1);

  std::shared_ptr<const Model> model() const { return model_; }
  /// Writes the buffers and shaped.json: the configuration under the keys of a config.json, and for every
  /// tensor, under its Hugging Face name, the file, the first element and the shape. Norms are all ones and
  /// not listed.
  Status write(const std::filesystem::path& folder) const;

 private:
  struct Pools;
  testing::ModelShape shape_;
  std::shared_ptr<const Pools> pools_;
  std::shared_ptr<const Model> model_;
};

}  // namespace expertscope::bench
