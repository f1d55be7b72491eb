// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/cpu/kernels/kernels.h"

/// Internal to this folder: one table a level, each in a file compiled for its instruction set.
///
/// A file compiled for a newer instruction set must not emit functions that the linker may pick for the whole
/// program (inline functions of shared headers have one copy in the end, and it could be the one with
/// instructions the machine lacks). So such files call intrinsics and functions of their own unnamed
/// namespace only; templates shared through headers take a type from that namespace, other functions there
/// are static.
namespace expertscope::cpu {

const Kernels& scalar_kernels();
#ifdef EXPERTSCOPE_X86_KERNELS
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512_bf16_kernels();
const Kernels& amx_kernels();
#endif

}  // namespace expertscope::cpu
