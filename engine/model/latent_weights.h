// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

#include "engine/error.h"
#include "engine/model/layer_spec.h"
#include "engine/model/weight_binder.h"
#include "engine/model/weights.h"

namespace expertscope {

/// latent_keys and latent_values of a layer, from its kv_b_proj, which is bound: keys are turned, since
/// kernels read weights along the rows of a matrix, and so are copies; values stay where they lie, or are
/// copied where a head does not begin with a row of scales. Copies in F32, F16 and BF16 keep their type,
/// others are F32. The error is out_of_memory and names `tensor`.
Status split_latent(const AttentionSpec& spec, const std::string& tensor, LayerWeights& layer,
                    AlignedCopies& copies);

}  // namespace expertscope
