// SPDX-License-Identifier: GPL-3.0-or-later
#include <cublas_v2.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tests/simt/runtime/gemm.h"
#include "tests/simt/runtime/runtime.h"

/// cuBLAS.

namespace simt = expertscope::simt;
using simt::Runtime;

namespace {

/// What cuBLAS makes of an error of the runtime underneath it.
cublasStatus_t to_status(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return CUBLAS_STATUS_SUCCESS;
    case cudaErrorMemoryAllocation:
      return CUBLAS_STATUS_ALLOC_FAILED;
    case cudaErrorNotSupported:
      return CUBLAS_STATUS_NOT_SUPPORTED;
    case cudaErrorNoKernelImageForDevice:
      return CUBLAS_STATUS_ARCH_MISMATCH;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInitializationError:
      return CUBLAS_STATUS_NOT_INITIALIZED;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidResourceHandle:
      return CUBLAS_STATUS_INVALID_VALUE;
    case cudaErrorUnknown:
      return CUBLAS_STATUS_INTERNAL_ERROR;
    default:
      return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

/// One call with a handle: `body` runs under the lock, unless the call has to fail.
template <class Body>
cublasStatus_t call(const char* function, cublasHandle_t handle, Body&& body) {
  Runtime& runtime = Runtime::instance();
  const std::lock_guard lock(runtime.mutex);
  cudaError_t error = runtime.driver_error();
  const cudaError_t fault = runtime.count_call(function);
  if (error == cudaSuccess) error = fault;
  if (error == cudaSuccess) error = runtime.device_error();
  if (error != cudaSuccess) return to_status(error);
  const auto found = std::find_if(runtime.cublas_handles.begin(), runtime.cublas_handles.end(),
                                  [handle](const auto& one) { return one.get() == handle; });
  if (found == runtime.cublas_handles.end()) return CUBLAS_STATUS_NOT_INITIALIZED;
  return body(runtime, **found);
}

/// The error of a product that cannot be made.
cublasStatus_t check(const simt::Gemm& gemm) {
  const std::size_t a_rows = gemm.a.transposed ? gemm.k : gemm.m;
  const std::size_t b_rows = gemm.b.transposed ? gemm.n : gemm.k;
  const std::size_t one = 1;
  if (gemm.a.leading < std::max(one, a_rows) || gemm.b.leading < std::max(one, b_rows) ||
      gemm.c.leading < std::max(one, gemm.m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool types = simt::size_of(gemm.a.type) != 0 && gemm.a.type == gemm.b.type &&
                     (gemm.c.type == gemm.a.type || gemm.c.type == CUDA_R_32F);
  return types ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

bool fits(const Runtime& runtime, const simt::Matrix& matrix, std::size_t rows, std::size_t columns) {
  const std::size_t size = matrix.transposed ? extent(matrix, columns, rows) : extent(matrix, rows, columns);
  return size == 0 || runtime.memory.contains(matrix.data, size);
}

cudaError_t run(const Runtime& runtime, const simt::Gemm& gemm) {
  if (!fits(runtime, gemm.a, gemm.m, gemm.k) || !fits(runtime, gemm.b, gemm.k, gemm.n) ||
      !fits(runtime, gemm.c, gemm.m, gemm.n)) {
    return cudaErrorIllegalAddress;
  }
  multiply(gemm);
  return cudaSuccess;
}

bool is_operation(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
}

std::size_t size(int value) {
  return static_cast<std::size_t>(value);
}

/// A product as cuBLAS is asked for it.
struct Request {
  cublasOperation_t a_operation, b_operation;
  int m, n, k;
  const void* alpha;
  const void* a;
  cudaDataType a_type;
  int lda;
  const void* b;
  cudaDataType b_type;
  int ldb;
  const void* beta;
  void* c;
  cudaDataType c_type;
  int ldc;

  bool valid() const {
    return is_operation(a_operation) && is_operation(b_operation) && m >= 0 && n >= 0 && k >= 0 && lda > 0 &&
           ldb > 0 && ldc > 0 && alpha != nullptr && beta != nullptr;
  }
  simt::Gemm gemm() const {
    return {size(m),
            size(n),
            size(k),
            *static_cast<const float*>(alpha),
            *static_cast<const float*>(beta),
            {a, a_type, size(lda), a_operation != CUBLAS_OP_N},
            {b, b_type, size(ldb), b_operation != CUBLAS_OP_N},
            {c, c_type, size(ldc), false}};
  }
};

template <class Work>
cublasStatus_t submit(Runtime& runtime, const cublasContext& context, Work&& work) {
  if (context.stream != nullptr && !runtime.queues.exists(context.stream))
    return CUBLAS_STATUS_EXECUTION_FAILED;
  return to_status(runtime.queues.submit(context.stream, context.device, std::forward<Work>(work)));
}

cublasStatus_t queue(Runtime& runtime, const cublasContext& context, const Request& request) {
  if (!request.valid()) return CUBLAS_STATUS_INVALID_VALUE;
  const simt::Gemm gemm = request.gemm();
  if (const cublasStatus_t status = check(gemm)) return status;
  return submit(runtime, context,
                [&runtime, gemm] { return gemm.m == 0 || gemm.n == 0 ? cudaSuccess : run(runtime, gemm); });
}

/// Products whose matrices are read from tables when they run; `size` products share what `gemm` says.
struct Group {
  simt::Gemm gemm;
  int size;
};
struct Tables {
  const void* const* a;
  const void* const* b;
  void* const* c;
};

/// The groups as cuBLAS is asked for them, or why it refuses.
cublasStatus_t collect(Request request, const cublasOperation_t* a_operations,
                       const cublasOperation_t* b_operations, const int* m, const int* n, const int* k,
                       const int* lda, const int* ldb, const int* ldc, int group_count, const int* group_size,
                       std::vector<Group>& groups) {
  const auto* alpha = static_cast<const float*>(request.alpha);
  const auto* beta = static_cast<const float*>(request.beta);
  for (const void* array : {static_cast<const void*>(a_operations), static_cast<const void*>(b_operations),
                            static_cast<const void*>(alpha), static_cast<const void*>(beta)})
    if (array == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  for (const int* array : {m, n, k, lda, ldb, ldc, group_size})
    if (array == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  for (int i = 0; i < group_count; ++i) {
    request.a_operation = a_operations[i];
    request.b_operation = b_operations[i];
    request.m = m[i];
    request.n = n[i];
    request.k = k[i];
    request.alpha = alpha + i;
    request.lda = lda[i];
    request.ldb = ldb[i];
    request.beta = beta + i;
    request.ldc = ldc[i];
    if (!request.valid() || group_size[i] < 0) return CUBLAS_STATUS_INVALID_VALUE;
    groups.push_back({request.gemm(), group_size[i]});
    if (const cublasStatus_t status = check(groups.back().gemm)) return status;
  }
  return group_count < 0 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

/// Matrices of whole 16 bytes in depth are read 16 bytes at a time.
bool aligned(const simt::Gemm& gemm) {
  const std::size_t element = simt::size_of(gemm.a.type);
  const std::size_t bytes = gemm.k * element % 16 == 0 ? 16 : 4;
  const auto at = [bytes](const void* data) { return reinterpret_cast<std::uintptr_t>(data) % bytes == 0; };
  return element != 2 || (at(gemm.a.data) && at(gemm.b.data) && at(gemm.c.data));
}

cudaError_t run(const Runtime& runtime, const std::vector<Group>& groups, const Tables& tables) {
  std::size_t products = 0;
  for (const Group& group : groups)
    products += size(group.size);
  for (const void* table : {static_cast<const void*>(tables.a), static_cast<const void*>(tables.b),
                            static_cast<const void*>(tables.c)})
    if (products != 0 && !runtime.memory.contains(table, products * sizeof(void*)))
      return cudaErrorIllegalAddress;
  std::size_t index = 0;
  for (const Group& group : groups) {
    for (int i = 0; i < group.size; ++i, ++index) {
      simt::Gemm gemm = group.gemm;
      gemm.a.data = tables.a[index];
      gemm.b.data = tables.b[index];
      gemm.c.data = tables.c[index];
      if (gemm.m == 0 || gemm.n == 0) continue;
      if (!aligned(gemm)) return cudaErrorMisalignedAddress;
      if (const cudaError_t error = run(runtime, gemm)) return error;
    }
  }
  return cudaSuccess;
}

}  // namespace

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "CUBLAS_STATUS_LICENSE_ERROR";
  }
  return "unknown cuBLAS status";
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an invalid value was passed as an argument";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "an absent device architectural feature is required";
    case CUBLAS_STATUS_MAPPING_ERROR:
      return "an access to GPU memory space failed";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the GPU program failed to execute";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "an internal operation failed";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality is not supported";
    case CUBLAS_STATUS_LICENSE_ERROR:
      return "the functionality requested requires some license";
  }
  return "unknown cuBLAS status";
}

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = nullptr;
  const cudaError_t error = simt::call("cublasCreate", simt::Needs::device, [&](Runtime& runtime) {
    if (const cudaError_t unsafe = runtime.queues.forbid_in_capture()) return unsafe;
    runtime.cublas_handles.push_back(std::make_unique<cublasContext>());
    *handle = runtime.cublas_handles.back().get();
    (*handle)->device = runtime.host().device;
    return cudaSuccess;
  });
  return to_status(error);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  const cudaError_t error = simt::release("cublasDestroy", [&](Runtime& runtime) {
    const auto erased =
        std::erase_if(runtime.cublas_handles, [handle](const auto& one) { return one.get() == handle; });
    return erased == 1 ? cudaSuccess : cudaErrorInitializationError;
  });
  return to_status(error);
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return call("cublasSetStream", handle, [&](Runtime& runtime, cublasContext& context) {
    if (stream != nullptr && !runtime.queues.exists(stream)) return CUBLAS_STATUS_INVALID_VALUE;
    context.stream = stream;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, std::size_t size) {
  return call("cublasSetWorkspace", handle, [&](Runtime& runtime, cublasContext&) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0;
    if (!aligned || (size != 0 && !runtime.memory.contains(workspace, size)))
      return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return call("cublasSetMathMode", handle, [&](Runtime&, cublasContext&) {
    const int kind = static_cast<int>(mode) & 15;
    return kind <= CUBLAS_TF32_TENSOR_OP_MATH ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
  });
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t a_operation,
                            cublasOperation_t b_operation, int m, int n, int k, const void* alpha,
                            const void* a, cudaDataType a_type, int lda, const void* b, cudaDataType b_type,
                            int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  const Request request{a_operation, b_operation, m,      n,   k,    alpha, a,      a_type,
                        lda,         b,           b_type, ldb, beta, c,     c_type, ldc};
  return call("cublasGemmEx", handle, [&](Runtime& runtime, cublasContext& context) {
    if (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_PEDANTIC) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    return queue(runtime, context, request);
  });
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t a_operation,
                              cublasOperation_t b_operation, int m, int n, int k, const float* alpha,
                              const float* a, int lda, const float* b, int ldb, const float* beta, float* c,
                              int ldc) {
  const Request request{a_operation, b_operation, m,          n,   k,    alpha, a,          CUDA_R_32F,
                        lda,         b,           CUDA_R_32F, ldb, beta, c,     CUDA_R_32F, ldc};
  return call("cublasSgemm", handle,
              [&](Runtime& runtime, cublasContext& context) { return queue(runtime, context, request); });
}

cublasStatus_t cublasGemmGroupedBatchedEx(cublasHandle_t handle, const cublasOperation_t a_operations[],
                                          const cublasOperation_t b_operations[], const int m[],
                                          const int n[], const int k[], const void* alpha,
                                          const void* const a[], cudaDataType_t a_type, const int lda[],
                                          const void* const b[], cudaDataType_t b_type, const int ldb[],
                                          const void* beta, void* const c[], cudaDataType_t c_type,
                                          const int ldc[], int group_count, const int group_size[],
                                          cublasComputeType_t compute) {
  const Request request{CUBLAS_OP_N, CUBLAS_OP_N, 0,      0, 0,    alpha,   nullptr, a_type,
                        1,           nullptr,     b_type, 1, beta, nullptr, c_type,  1};
  return call("cublasGemmGroupedBatchedEx", handle, [&](Runtime& runtime, cublasContext& context) {
    const bool pedantic = compute == CUBLAS_COMPUTE_32F_PEDANTIC && a_type == CUDA_R_32F;
    if ((compute != CUBLAS_COMPUTE_32F && !pedantic) || simt::size_of(a_type) == 0 || b_type != a_type ||
        c_type != a_type)
      return CUBLAS_STATUS_NOT_SUPPORTED;
    std::vector<Group> groups;
    const cublasStatus_t status =
        collect(request, a_operations, b_operations, m, n, k, lda, ldb, ldc, group_count, group_size, groups);
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    return submit(runtime, context, [&runtime, groups = std::move(groups), tables = Tables{a, b, c}] {
      return run(runtime, groups, tables);
    });
  });
}
