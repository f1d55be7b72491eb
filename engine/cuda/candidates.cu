// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/candidates.cuh"

namespace expertscope::cuda {

void find_candidates(ForwardContext& context, int rows) {
  context.queue.enter("choosing tokens");
  const Workspace& work = context.work;
  const auto count = static_cast<unsigned>(rows);
  context.queue.launch(&find_candidate_parts,
                       {dim3(static_cast<unsigned>(work.shares), count), kCandidateThreads, 0},
                       context.input.device(), work.logits, context.config.vocab_size, work.candidate_parts);
  context.queue.launch(&merge_candidates, {dim3(count), kCandidateThreads, 0}, context.input.device(),
                       work.shares, work.candidate_parts, work.candidates, work.not_finite + 1);
}

}  // namespace expertscope::cuda
