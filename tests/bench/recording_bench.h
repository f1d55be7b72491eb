// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

namespace expertscope::bench {

/// What a recorder takes a second of blocks that are there already, and what a trace takes of a decision
/// (token x MoE layer x slot), for the numbers of a model of 48 layers x 128 experts, top-8, and of a short
/// generation. Prints both, rounded and full.
void bench_recording();

}  // namespace expertscope::bench
