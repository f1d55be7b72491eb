# SPDX-License-Identifier: GPL-3.0-or-later
# The backend: compiled by nvcc into the plugin, and by the C++ compiler against the emulator of tests/simt. Of
# the rest of the engine it takes single files, so that the plugin needs no library of the program.
set(EXPERTSCOPE_CUDA_SOURCES
  attention.cu
  attention_tiles.cu
  candidates.cu
  capture_buffer.cpp
  checks.cu
  cuda_backend.cpp
  device.cpp
  device_weights.cpp
  embed.cu
  expert_cache.cu
  experts.cu
  head.cu
  kv_cache.cpp
  memory.cpp
  memory_plan.cpp
  moe.cu
  probes.cu
  products.cu
  queue.cpp
  rates.cu
  rope_table.cpp
  router.cu
  routing_tables.cpp
  step_input.cpp
  weight_layout.cpp
  weight_stream.cpp
  workspace.cpp)
list(TRANSFORM EXPERTSCOPE_CUDA_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/engine/cuda/")
