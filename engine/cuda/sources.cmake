# SPDX-License-Identifier: GPL-3.0-or-later
# The backend: compiled by nvcc into the plugin, and by the C++ compiler against the emulator of tests/simt. Of
# the rest of the engine it takes single files, so that the plugin needs no library of the program.
set(EXPERTSCOPE_CUDA_SOURCES
  attention.cu
  attention_tiles.cu
  can_run.cpp
  candidates.cu
  checks.cu
  cuda_backend.cpp
  embed.cu
  experts.cu
  head.cu
  kv_cache.cpp
  moe.cu
  plain/forward.cu
  plain/mixers.cu
  plain/plain_backend.cpp
  plain/room.cpp
  plain/weights.cpp
  probes.cu
  products.cu
  rope_table.cpp
  router.cu
  step_results.cpp
  runtime/device.cpp
  runtime/kernel_image.cu
  runtime/memory.cpp
  runtime/queue.cpp
  step/capture_buffer.cpp
  step/routing_tables.cpp
  step/step_input.cpp
  step/workspace.cpp
  tiles.cu
  weights/device_weights.cpp
  weights/expert_cache.cu
  weights/memory_plan.cpp
  weights/weight_layout.cpp
  weights/weight_stream.cpp)
list(TRANSFORM EXPERTSCOPE_CUDA_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/engine/cuda/")
