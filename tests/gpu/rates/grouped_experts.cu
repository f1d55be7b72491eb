// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/gpu/rates/grouped_experts.h"

#include "engine/cuda/kernels/numbers.cuh"

// cuBLAS has it since CUDA 12.5. A backend that cannot be loaded beside an older one of the same major
// version, for the sake of a benchmark, would be a bad trade.
#pragma weak cublasGemmGroupedBatchedEx

namespace expertscope::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPackOfBf16 = kPack<DeviceType::bf16>;

unsigned blocks_for(std::size_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

/// to[r] = from[token_of_row[r]], a thread for 16 of a row's bytes; `chunks` of them are a row.
__global__ void __launch_bounds__(kThreads) gather_rows(const uint4* from, const std::int32_t* token_of_row,
                                                        std::size_t rows, int chunks, uint4* to) {
  const auto width = static_cast<std::size_t>(chunks);
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * width) return;
  to[at] = from[static_cast<std::size_t>(token_of_row[at / width]) * width + at % width];
}

/// inner[r] = silu(gate) * up for rows of [gate, up], a thread for 16 of a result's bytes.
__global__ void __launch_bounds__(kThreads)
    silu_rows(const uint4* gate_up, std::size_t rows, int chunks, uint4* inner) {
  const auto width = static_cast<std::size_t>(chunks);
  const std::size_t at = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * width) return;
  const uint4* pair = gate_up + at / width * 2 * width + at % width;
  float gate[kPackOfBf16];
  float up[kPackOfBf16];
  widen<DeviceType::bf16>(pair[0], gate);
  widen<DeviceType::bf16>(pair[width], up);
  inner[at] = uint4{pack_bf16(silu_mul(gate[0], up[0]), silu_mul(gate[1], up[1])),
                    pack_bf16(silu_mul(gate[2], up[2]), silu_mul(gate[3], up[3])),
                    pack_bf16(silu_mul(gate[4], up[4]), silu_mul(gate[5], up[5])),
                    pack_bf16(silu_mul(gate[6], up[6]), silu_mul(gate[7], up[7]))};
}

}  // namespace

Status GroupedProduct::create(const std::vector<const void*>& w, const std::vector<std::int32_t>& load,
                              int features, int depth, const std::uint16_t* x, std::uint16_t* y,
                              Queue& queue) {
  std::vector<const void*> weights;
  std::vector<const void*> inputs;
  std::vector<const void*> outputs;
  rows_.clear();
  for (std::size_t e = 0; e < load.size(); ++e) {
    if (load[e] == 0) continue;  // an empty group is no error and no use either
    weights.push_back(w[e]);
    inputs.push_back(x);
    outputs.push_back(y);
    rows_.push_back(load[e]);
    x += static_cast<std::size_t>(load[e]) * static_cast<std::size_t>(depth);
    y += static_cast<std::size_t>(load[e]) * static_cast<std::size_t>(features);
  }
  features_.assign(rows_.size(), features);
  depth_.assign(rows_.size(), depth);
  size_.assign(rows_.size(), 1);
  transposed_.assign(rows_.size(), CUBLAS_OP_T);
  as_it_is_.assign(rows_.size(), CUBLAS_OP_N);
  alpha_.assign(rows_.size(), 1.0f);
  beta_.assign(rows_.size(), 0.0f);
  if (auto ok = matrices_.allocate(3 * rows_.size(), "measuring the experts"); !ok) return ok;
  weights.insert(weights.end(), inputs.begin(), inputs.end());
  weights.insert(weights.end(), outputs.begin(), outputs.end());
  queue.copy(matrices_.data(), weights.data(), matrices_.bytes(), cudaMemcpyHostToDevice);
  queue.wait();
  return queue.take_status();
}

cublasStatus_t GroupedProduct::run(cublasHandle_t handle) const {
  const auto groups = static_cast<int>(rows_.size());
  const void* const* matrices = matrices_.data();
  // The outputs, which only cuBLAS reads from there as what they are.
  void* const* outputs = const_cast<void* const*>(matrices + 2 * groups);
  // cuBLAS counts by columns: y^T [features, rows] = w [features, depth] x^T.
  return cublasGemmGroupedBatchedEx(
      handle, transposed_.data(), as_it_is_.data(), features_.data(), rows_.data(), depth_.data(),
      alpha_.data(), matrices, CUDA_R_16BF, depth_.data(), matrices + groups, CUDA_R_16BF, depth_.data(),
      beta_.data(), outputs, CUDA_R_16BF, features_.data(), groups, size_.data(), CUBLAS_COMPUTE_32F);
}

Status GroupedExperts::allocate() {
  const char* purpose = "measuring the experts with cuBLAS";
  const auto hidden = static_cast<std::size_t>(what_.hidden);
  const auto inner = static_cast<std::size_t>(what_.inner);
  if (auto ok = token_of_row_.allocate(rows_, purpose); !ok) return ok;
  if (auto ok = gathered_.allocate(rows_ * hidden, purpose); !ok) return ok;
  if (auto ok = gate_up_.allocate(rows_ * 2 * inner, purpose); !ok) return ok;
  if (auto ok = inner_.allocate(rows_ * inner, purpose); !ok) return ok;
  return output_.allocate(rows_ * hidden, purpose);
}

Status GroupedExperts::create(const ExpertCase& what, const RoutedRows& routed,
                              const std::vector<const void*>& gate_up, const std::vector<const void*>& down,
                              cudaStream_t stream) {
  what_ = what;
  rows_ = routed.token_of_row.size();
  if (auto ok = handle_.create(stream); !ok) return ok;
  if (auto ok = allocate(); !ok) return ok;
  Queue queue(stream);
  queue.enter("preparing a grouped product");
  queue.copy(token_of_row_.data(), routed.token_of_row.data(), token_of_row_.bytes(), cudaMemcpyHostToDevice);
  auto ok = first_.create(gate_up, routed.load, 2 * what.inner, what.hidden, gathered_.data(),
                          gate_up_.data(), queue);
  if (!ok) return ok;
  return second_.create(down, routed.load, what.hidden, what.inner, inner_.data(), output_.data(), queue);
}

void GroupedExperts::multiply(Queue& queue, const GroupedProduct& product) {
  if (&cublasGemmGroupedBatchedEx == nullptr) available_ = false;
  if (!available_ || !queue.ok()) return;
  const cublasStatus_t code = product.run(handle_.get());
  if (code == CUBLAS_STATUS_NOT_SUPPORTED || code == CUBLAS_STATUS_ARCH_MISMATCH)
    available_ = false;
  else
    note_cublas(queue, code);
}

void GroupedExperts::run(Queue& queue, const void* x) {
  const int hidden = what_.hidden / kPackOfBf16;
  const int inner = what_.inner / kPackOfBf16;
  queue.launch(&gather_rows, {dim3(blocks_for(rows_ * static_cast<std::size_t>(hidden))), kThreads, 0},
               static_cast<const uint4*>(x), token_of_row_.data(), rows_, hidden,
               reinterpret_cast<uint4*>(gathered_.data()));
  multiply(queue, first_);
  queue.launch(&silu_rows, {dim3(blocks_for(rows_ * static_cast<std::size_t>(inner))), kThreads, 0},
               reinterpret_cast<const uint4*>(gate_up_.data()), rows_, inner,
               reinterpret_cast<uint4*>(inner_.data()));
  multiply(queue, second_);
}

}  // namespace expertscope::cuda
