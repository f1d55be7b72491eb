// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stop_token>

#include "engine/error.h"
#include "engine/model/weights.h"

namespace expertscope {

/// Scans the weights of one decoder layer for NaN and Inf, or with -1 the embedding, the final norm and
/// lm_head. Fails with the first tensor that holds one, named as in the model's files, and the place in it;
/// with invalid_argument for a layer that does not exist, and with cancelled.
Status check_finite_weights(const Weights& weights, int layer, const std::stop_token& stop = {});

}  // namespace expertscope
