// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/usual_options.h"

namespace expertscope {

BackendOptions usual_options(const BackendChoice& choice, int context, int sequences) {
  BackendOptions options;
  options.choice = choice;
  options.max_context = context;
  options.max_sequences = sequences;
  options.max_batch = kCpuBatch;
  options.gpu_batch = kGpuBatch;
  return options;
}

}  // namespace expertscope
