// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cuda/forward.h"

namespace expertscope::cuda {

/// What the kernels know of a layer's heads.
DeviceHeads heads_of(const ForwardContext& context, int layer);

/// Not decoding: finishes the heads in work.qkv and attends, from work.qkv into work.attended, whose rows are
/// `stride` long and bf16 when `rounds`; with the probe of the attention on the first token.
void attend_many(ForwardContext& context, int layer, int stride, bool rounds);

}  // namespace expertscope::cuda
