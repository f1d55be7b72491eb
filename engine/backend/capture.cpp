// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/capture.h"

#include <limits>

namespace expertscope {

void CaptureBlock::prepare(const CaptureRequest& what, int token_count, int layer_count, int moe_layer_count,
                           int slot_count, int expert_count, bool shared) {
  request = what;
  tokens = token_count;
  layers = layer_count;
  moe_layers = moe_layer_count;
  slots = slot_count;
  experts = expert_count;
  const auto per_token = static_cast<std::size_t>(token_count);
  const auto per_moe = per_token * static_cast<std::size_t>(moe_layer_count);
  const auto per_layer = per_token * static_cast<std::size_t>(layer_count);
  const auto per_slot = per_moe * static_cast<std::size_t>(slot_count);

  token_id.resize(per_token);
  position.resize(per_token);
  sequence.resize(per_token);
  log_prob.assign(what.log_prob ? per_token : 0, std::numeric_limits<float>::quiet_NaN());
  expert.assign(what.routing || what.expert_output ? per_slot : 0, kNoExpert);
  probability.assign(what.routing ? per_slot : 0, 0.0f);
  weight.assign(what.routing ? per_slot : 0, 0.0f);
  output_norm.assign(what.expert_output ? per_slot : 0, 0.0f);
  output_max.assign(what.expert_output ? per_slot : 0, 0.0f);
  output_channel.assign(what.expert_output ? per_slot : 0, -1);
  const std::size_t per_shared = shared && what.expert_output ? per_moe : 0;
  shared_norm.assign(per_shared, 0.0f);
  shared_max.assign(per_shared, 0.0f);
  shared_channel.assign(per_shared, -1);
  entropy.assign(what.entropy ? per_moe : 0, 0.0f);
  hidden_max.assign(what.hidden ? per_layer : 0, 0.0f);
  hidden_channel.assign(what.hidden ? per_layer : 0, -1);
  first_token_attention.assign(what.attention ? per_layer : 0, 0.0f);
  router_logits.assign(what.router_logits ? per_moe * static_cast<std::size_t>(expert_count) : 0, 0.0f);
  // A backend with an expert cache sizes and fills these itself.
  cache_hits.clear();
  cache_misses.clear();
  cache_bytes.clear();
}

}  // namespace expertscope
