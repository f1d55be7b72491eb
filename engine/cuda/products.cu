// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/products.h"

#include "engine/cuda/kernels/products_tiled.cuh"
#include "engine/cuda/kernels/rows.cuh"

namespace expertscope::cuda {
namespace {

Status check_cublas(cublasStatus_t code, const char* operation) {
  if (code == CUBLAS_STATUS_SUCCESS) return {};
  return fail(ErrorCode::device, "{} failed on the GPU: cuBLAS says {}", operation,
              cublasGetStatusString(code));
}

void run_tiles(Queue& queue, TileMath math, const DeviceMatrix& w, const void* x, int rows, float* y,
               int y_stride, Epilogue epilogue) {
  TileProduct<float> product;
  product.x = static_cast<const float*>(x);
  product.w = w.data;
  product.rows = rows;
  product.features = w.rows;
  product.stride = w.stride;
  product.y = y;
  product.y_stride = y_stride;
  const int height = tile_rows(math, rows, 1, w.rows);
  launch_tiles(queue, math, w.type, epilogue, product, height, tile_blocks((rows + height - 1) / height));
}

__global__ void __launch_bounds__(kRowThreads) add_to_rows(const float* bias, int width, float* y) {
  float* row = y + static_cast<std::size_t>(blockIdx.x) * static_cast<std::size_t>(width);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += kRowThreads)
    row[i] += bias[i];
}

}  // namespace

Status Products::create(cudaStream_t stream, MathMode math) {
  math_ = math;
  if (bytes(math) == 0) return {};
  cublasHandle_t handle = nullptr;
  if (auto ok = check_cublas(cublasCreate(&handle), "starting cuBLAS"); !ok) return ok;
  handle_.reset(handle);
  if (auto ok = workspace_.allocate(bytes(math), "the workspace of cuBLAS"); !ok) return ok;
  if (auto ok = check_cublas(cublasSetStream(handle, stream), "starting cuBLAS"); !ok) return ok;
  // A workspace of our own: cuBLAS may neither allocate in a step nor choose between kernels by what is free.
  return check_cublas(cublasSetWorkspace(handle, workspace_.data(), workspace_.bytes()), "starting cuBLAS");
}

void Products::run(Queue& queue, const DeviceMatrix& w, bool rounds, const void* x, int rows, float* y,
                   int y_stride, ProductEnd end) {
  if (!rounds)
    return run_tiles(queue, tile_math(w.type), w, x, rows, y, y_stride,
                     end == ProductEnd::add ? Epilogue::add : Epilogue::store);
  if (!queue.ok()) return;
  const float one = 1.0f;
  const float beta = end == ProductEnd::add ? 1.0f : 0.0f;
  // cuBLAS counts by columns: y^T [w.rows, rows] = w [w.rows, stride] x^T.
  const cublasStatus_t code = cublasGemmEx(
      handle_.get(), CUBLAS_OP_T, CUBLAS_OP_N, w.rows, rows, w.stride, &one, w.data, CUDA_R_16BF, w.stride, x,
      CUDA_R_16BF, w.stride, &beta, y, CUDA_R_32F, y_stride, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  if (code != CUBLAS_STATUS_SUCCESS) queue.fail(check_cublas(code, "a matrix product").error());
}

void Products::run_f32(Queue& queue, const DeviceMatrix& w, const float* x, int rows, float* y,
                       int y_stride) {
  run_tiles(queue, TileMath::f32, w, x, rows, y, y_stride, Epilogue::store);
}

void add_bias(Queue& queue, const float* bias, int width, float* y, int rows) {
  if (bias == nullptr) return;
  queue.launch(&add_to_rows, {dim3(static_cast<unsigned>(rows)), kRowThreads, 0}, bias, width, y);
}

}  // namespace expertscope::cuda
