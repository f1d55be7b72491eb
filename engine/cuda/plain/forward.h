// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "engine/backend/backend.h"
#include "engine/cuda/plain/weights.h"
#include "engine/cuda/rope_table.h"
#include "engine/cuda/runtime/queue.h"
#include "engine/cuda/step/routing_tables.h"

namespace expertscope::cuda::plain {

/// Every array a step writes on the device. B = max_batch, widths those of the widest layer.
struct Room {
  float *hidden, *x, *y, *down, *weighted;  ///< [B, hidden_size]
  float *q, *heads, *attention_gate;        ///< [B, query width], heads also [B, values of a DeltaNet]
  float* q_and_gate;                        ///< [B, rows of q_proj]
  float *latent_q, *latent;                 ///< [B, q_rank], [B, rank]
  float* latent_heads;                      ///< [B, output width]
  float* branch;           ///< [B, hidden_size] what experts take where they have a norm of their own
  float* delta_in;         ///< [B, channels + values] q, k, v and z of a DeltaNet
  float* delta_gates;      ///< [B, 2 * value heads] its b and a
  float* delta_convolved;  ///< [B, channels]
  float *delta_decay, *delta_beta;  ///< [B, value heads]
  float* delta_inputs;              ///< [DeltaNets, sequences, taps - 1, channels], kept from step to step
  float* delta_states;              ///< [DeltaNets, sequences, values, key_dim], likewise
  float *k, *v;                     ///< [B, key width]
  float* scores;                    ///< [attended, heads, max_context]
  float* first_token;               ///< [B, heads]
  float *gate, *up, *inner;         ///< [B, MLP width]
  float *router_logits, *router_score;  ///< [B, experts]
  RoutedSlot* slots;                    ///< [B, experts], as the three below: a policy may ask for all
  std::int32_t* expert;
  float *weight, *factor;
  float* shared_weight;  ///< [B]
  float* sum_norm;       ///< [B] of the sum over a token's slots, for a probe
  float* logits;         ///< [head_rows, vocab]
  unsigned* not_finite;  ///< [1 + layers] of the embedding and after each layer
  int attended = 1;      ///< tokens whose heads attend at a time
  int sequences = 1;     ///< that have states
  int head_rows = 1;     ///< rows the head runs for at a time

  /// Hands out the arrays, or only counts.
  static Room place(const ModelConfig& config, const BackendOptions& options, Arena& arena);
};

/// What a step reads and writes.
struct Step {
  const ModelConfig& config;
  const StoredWeights& weights;
  const Room& room;
  const DeviceCache& cache;
  const RopeTables& rope;
  const RoutingTables& routing;
  const RoutingTable& table;
  const DeviceStep& input;  ///< the host's copy: its pointers are on the device
  TensorObserver* observer;
  Queue& queue;

  /// Tells the observer, if there is one, of `values` on the device.
  void see(const char* name, int layer, const float* values, int rows, int columns) const;
};

/// room.hidden = the residual stream after the last layer, with every probe; room.not_finite says where NaN
/// or infinity came up.
void run_layers(const Step& step);
/// room.x = norm(hidden) of the output rows.
void norm_outputs(const Step& step);
/// room.logits of output rows first .. first + rows - 1.
void head(const Step& step, int first, int rows);

}  // namespace expertscope::cuda::plain
