// SPDX-License-Identifier: GPL-3.0-or-later
#include <cublas_v2.h>

#include "tests/simt/testing.h"

/// What the devices say about themselves, and faults that a test orders.

namespace expertscope::simt {
namespace {

TEST(SimtDevices, AreWhatTheSettingsSay) {
  Settings settings;
  settings.devices = 2;
  settings.name = "Test 1000";
  settings.memory = 123456;
  settings.sms = 17;
  settings.compute_major = 8;
  settings.compute_minor = 6;
  const Emulation emulation(settings);
  int value = 0;
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaSuccess);
  EXPECT_EQ(value, 2);
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 1), cudaSuccess);
  EXPECT_STREQ(properties.name, "Test 1000");
  EXPECT_EQ(properties.totalGlobalMem, 123456u);
  EXPECT_EQ(properties.multiProcessorCount, 17);
  EXPECT_EQ(properties.major * 10 + properties.minor, 86);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, 227u << 10);
  ASSERT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  EXPECT_EQ(value, 227 << 10);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaGetDevice(&value), cudaSuccess);
  EXPECT_EQ(value, 1);
}

TEST(SimtDevices, HaveMemoryAndFailuresOfTheirOwn) {
  Settings settings;
  settings.devices = 2;
  settings.memory = 100;
  const Emulation emulation(settings);
  void* pointer = nullptr;
  ASSERT_EQ(cudaMalloc(&pointer, 100), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 100), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 100), cudaSuccess);
  lose_device(cudaErrorECCUncorrectable, 1);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorECCUncorrectable);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

__global__ void nothing() {}

TEST(SimtDevices, KernelsRunOnTheDeviceOfTheirStream) {
  Settings settings;
  settings.devices = 2;
  const Emulation emulation(settings);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const cudaLaunchConfig_t at = config(1, 1, 0, stream);
  EXPECT_EQ(cudaLaunchKernelEx(&at, nothing), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(cudaLaunchKernelEx(&at, nothing), cudaErrorInvalidResourceHandle);
}

TEST(SimtDevices, MayBeMissing) {
  Settings settings;
  settings.devices = 0;
  const Emulation emulation(settings);
  int value = -1;
  void* pointer = nullptr;
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorNoDevice);
  EXPECT_EQ(value, 0);
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaErrorNoDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorNoDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNoDevice);
  EXPECT_EQ(cudaDriverGetVersion(&value), cudaSuccess);
}

TEST(SimtDevices, NeedADriverThatIsNewEnough) {
  Settings settings;
  for (const int version : {0, 12080}) {
    settings.driver_version = version;
    const Emulation emulation(settings);
    int value = -1;
    EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorInsufficientDriver);
    EXPECT_EQ(cudaDriverGetVersion(&value), cudaSuccess);
    EXPECT_EQ(value, version);
    EXPECT_EQ(cudaRuntimeGetVersion(&value), cudaSuccess);
    EXPECT_EQ(value, 13000);
  }
}

TEST(SimtDevices, OccupancyIsPlausible) {
  const Emulation emulation;
  int blocks = 0;
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing, 256, 0), cudaSuccess);
  EXPECT_EQ(blocks, 8);
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing, 256, 100 << 10), cudaSuccess);
  EXPECT_EQ(blocks, 2);
}

TEST(SimtDevices, DescribeTheirKernels) {
  Settings settings;
  settings.compute_major = 8;
  settings.compute_minor = 6;
  const Emulation emulation(settings);
  cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, nothing), cudaSuccess);
  EXPECT_EQ(attributes.maxThreadsPerBlock, 1024);
  EXPECT_EQ(attributes.binaryVersion, 86);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 48 << 10);
  ASSERT_EQ(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10),
            cudaSuccess);
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, nothing), cudaSuccess);
  EXPECT_EQ(attributes.maxDynamicSharedSizeBytes, 100 << 10);
  fail_call("cudaFuncGetAttributes", 1, cudaErrorNoKernelImageForDevice);
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, nothing), cudaErrorNoKernelImageForDevice);
  EXPECT_EQ(cudaFuncGetAttributes(nullptr, nothing), cudaErrorInvalidValue);
}

TEST(SimtDevices, ErrorsHaveNames) {
  EXPECT_STREQ(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorIllegalAddress), "an illegal memory access was encountered");
  EXPECT_STREQ(cudaGetErrorName(static_cast<cudaError_t>(12345)), "unrecognized error code");
}

TEST(SimtFaults, TheNthCallOfAFunctionFailsOnce) {
  const Emulation emulation;
  fail_call("cudaMalloc", 2, cudaErrorMemoryAllocation);
  void* pointer = nullptr;
  int device = 0;
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaSuccess);
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaErrorMemoryAllocation);
  EXPECT_EQ(alive().allocations, 1);
  EXPECT_EQ(cudaMalloc(&pointer, 16), cudaSuccess);
  EXPECT_EQ(calls("cudaMalloc"), 3);
  EXPECT_EQ(calls(), 4);
}

TEST(SimtFaults, AnyFunctionCanFail) {
  const Emulation emulation;
  fail_call("", 3, cudaErrorUnknown);
  int device = 0;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorUnknown);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

TEST(SimtFaults, WhatGivesBackDoesSoAllTheSame) {
  const Emulation emulation;
  void* pointer = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaMalloc(&pointer, 16), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  fail_call("cudaFree", 1, cudaErrorIllegalAddress, true);
  EXPECT_EQ(cudaFree(pointer), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaEventDestroy(event), cudaErrorIllegalAddress) << "the device is lost";
  EXPECT_EQ(alive(), Alive{});
}

__global__ void write(int* to) {
  *to = 1;
}

TEST(SimtFaults, ALostDeviceDoesNothingMore) {
  const Emulation emulation;
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  int* pinned = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
  *pinned = 0;
  const cudaLaunchConfig_t at = config(1, 1, 0, stream);
  ASSERT_EQ(cudaLaunchKernelEx(&at, write, pinned), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  lose_device(cudaErrorIllegalAddress);
  cublasHandle_t handle = nullptr;
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaEventSynchronize(event), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaLaunchKernelEx(&at, write, pinned), cudaErrorIllegalAddress);
  EXPECT_EQ(cublasCreate(&handle), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(*pinned, 0);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaEventDestroy(event), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaFreeHost(pinned), cudaErrorIllegalAddress);
  EXPECT_EQ(alive(), Alive{});
}

}  // namespace
}  // namespace expertscope::simt
