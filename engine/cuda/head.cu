// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/dispatch.h"
#include "engine/cuda/kernels/products_decode.cuh"
#include "engine/cuda/kernels/rows.cuh"
#include "engine/cuda/kernels/scores.cuh"

namespace expertscope::cuda {
namespace {

/// The norm and the product of a decode step in one kernel.
void fused_head(ForwardContext& context) {
  const DeviceMatrix& w = context.weights.lm_head();
  with_types(w.type, context.rounds(w.type), [&]<DeviceType kType, class X>() {
    with_bucket(context.bucket, [&]<int kTokens>() {
      const Shape shape{dim3(product_blocks(context, w.rows)), kProductThreads,
                        static_cast<std::size_t>(kTokens * w.stride) * sizeof(X)};
      context.queue.launch(&norm_product<kType, X, kTokens, ProductRows::output_rows>, shape,
                           context.input.device(), context.work.hidden, context.weights.norm(),
                           context.config.norm.eps, w, context.work.logits, w.rows);
    });
  });
}

}  // namespace

void head(ForwardContext& context, int first, int rows) {
  context.queue.enter("head");
  if (context.fused()) return fused_head(context);
  const DeviceMatrix& w = context.weights.lm_head();
  const bool rounds = context.rounds(w.type);
  with_activations(rounds, [&]<class X>() {
    context.queue.launch(&norm_rows<X>, {dim3(static_cast<unsigned>(rows)), kRowThreads, 0},
                         context.input.device(), true, first, context.work.hidden, context.weights.norm(),
                         w.cols, w.stride, context.config.norm.eps, static_cast<X*>(context.work.normed),
                         static_cast<float*>(nullptr));
  });
  context.products.run(context.queue, w, rounds, context.work.normed, rows, context.work.logits, w.rows,
                       ProductEnd::store);
}

void score(ForwardContext& context, int first, int rows) {
  context.queue.enter("scoring tokens");
  context.queue.launch(&score_targets, {dim3(static_cast<unsigned>(rows)), kRowThreads, 0},
                       context.work.logits, context.weights.lm_head().rows, context.input.targets() + first,
                       context.work.log_probs + first, context.work.not_finite + 1);
}

void observe_norm(ForwardContext& context) {
  const int rows = context.input.host().output_rows;
  const int width = context.config.hidden_size;
  context.queue.launch(&norm_rows<float>, {dim3(static_cast<unsigned>(rows)), kRowThreads, 0},
                       context.input.device(), true, 0, context.work.hidden, context.weights.norm(), width,
                       width, context.config.norm.eps, context.work.exact, static_cast<float*>(nullptr));
}

}  // namespace expertscope::cuda
