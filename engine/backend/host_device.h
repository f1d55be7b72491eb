// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

/// Marks a function that kernels call as well as the host. Nothing for compilers that know no device.
#ifdef __CUDACC__
#define EXPERTSCOPE_HOST_DEVICE __host__ __device__
#else
#define EXPERTSCOPE_HOST_DEVICE
#endif
