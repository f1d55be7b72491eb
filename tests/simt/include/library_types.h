// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

/// The number types of CUDA's libraries, as far as the emulator knows them.
enum cudaDataType_t {
  CUDA_R_32F = 0,
  CUDA_R_64F = 1,
  CUDA_R_16F = 2,
  CUDA_R_16BF = 14,
};
using cudaDataType = cudaDataType_t;
