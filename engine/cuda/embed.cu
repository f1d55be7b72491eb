// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {

void embed(ForwardContext& context) {
  context.queue.enter("embed");
  const DeviceMatrix& table = context.weights.embed_tokens();
  const int rows = context.rows();
  with_weights(table.type, [&]<DeviceType kType>() {
    context.queue.launch(&embed_rows<kType>, {dim3(static_cast<unsigned>(rows)), kRowThreads, 0},
                         context.input.device(), table, context.work.hidden);
  });
}

void norm_tokens(ForwardContext& context, const NormSpec& norm, const float* weight, DeviceType reader,
                 bool exact) {
  const int width = context.config.hidden_size;
  const int rows = context.rows();
  float* copy = exact ? context.work.exact : nullptr;
  with_activations(context.rounds(reader), [&]<class X>() {
    context.queue.launch(&norm_rows<X>, {dim3(static_cast<unsigned>(rows)), kRowThreads, 0},
                         context.input.device(), false, 0, context.work.hidden, weight, width, padded(width),
                         norm.eps, static_cast<X*>(context.work.normed), copy);
  });
}

}  // namespace expertscope::cuda
