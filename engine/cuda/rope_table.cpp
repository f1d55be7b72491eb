// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/rope_table.h"

#include "engine/backend/rope_table.h"

namespace expertscope::cuda {

Status RopeTable::build(const ModelConfig& config, int positions, cudaStream_t stream) {
  expertscope::RopeTable table;
  if (!table.build(config, positions))
    return fail(ErrorCode::out_of_memory, "no memory for the rotary embedding of {} positions", positions);
  const std::size_t count = expertscope::RopeTable::floats(config, positions).value();
  if (auto ok = values_.allocate(count, "the rotary embedding"); !ok) return ok;
  const cudaError_t code =
      cudaMemcpyAsync(values_.data(), table.cosine(0), values_.bytes(), cudaMemcpyHostToDevice, stream);
  if (auto ok = check(code, "copying the rotary embedding"); !ok) return ok;
  return check(cudaStreamSynchronize(stream), "copying the rotary embedding");
}

}  // namespace expertscope::cuda
