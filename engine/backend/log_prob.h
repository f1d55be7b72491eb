// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>

namespace expertscope {

/// log(sum exp(values)), in nats; exponentials in f32 (relative error below 2e-7), their sum in double.
double log_sum_exp(std::span<const float> values);

/// Log-probability in nats of `token` under the softmax of `logits` [vocab]; NaN for an id outside of it.
double log_probability(std::span<const float> logits, std::int32_t token);

}  // namespace expertscope
