// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/backend/backend.h"

/// How large a model is opened where nobody says: the same for the window, for every command and for the
/// plans that `info` shows.
namespace expertscope {

/// Tokens of a sequence.
inline constexpr int kUsualContext = 4096;
/// Tokens of a step: larger ones gain nothing on a CPU, and on a GPU they share the weights of an expert
/// among more tokens.
inline constexpr int kCpuBatch = 512;
inline constexpr int kGpuBatch = 2048;
/// Tokens of a step on a GPU that has a data set to get through and nobody waiting for its next token:
/// several sequences share a step. What profiling uses and the benchmark's calibration job measures.
inline constexpr int kGpuJobBatch = 8192;

/// Options for `sequences` of `context` tokens.
BackendOptions usual_options(const BackendChoice& choice, int context = kUsualContext, int sequences = 1);

}  // namespace expertscope
