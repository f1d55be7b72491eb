// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <vector>

#include "engine/error.h"
#include "probes/store/run_info.h"

// Results as structs, for what draws them: the maps, plots and marks of report and window. The tables of the
// analyses of the same names are made from them.
namespace expertscope {

/// Load of one MoE layer. Loads are counts of routed slots.
struct LayerLoad {
  int layer = 0;
  std::vector<std::int64_t> count;  ///< [experts]
  std::vector<double> share;        ///< [experts] count / all slots of the layer; 0 for an empty layer
  std::vector<double> weight_sum;   ///< [experts] combine weights
  int dead_experts = 0;             ///< experts with count 0
  double max_over_mean = 0;         ///< load ratio of the busiest expert; 0 for an empty layer
  double jain = 0;  ///< (sum x)^2 / (E sum x^2), Jain et al. 1984; 1 = even, 1/E = one expert; 0: empty
};
struct LoadResult {
  std::int64_t tokens = 0;
  std::vector<LayerLoad> layers;  ///< MoE layers only
};
LoadResult analyze_load(const ExpertTable& table);

/// Which rows count for output_max (moe definition of ZunhaiSu/Super-Experts-Profilling, arXiv 2507.23279).
enum class SuperExpertDefinition : std::uint8_t {
  paper,     ///< max over all tokens and channels of |down_proj output|
  upstream,  ///< the public code's hook sees only the first routed token of each expert in each sequence
};
struct SuperExpertOptions {
  SuperExpertDefinition definition = SuperExpertDefinition::paper;
  double include_layers = 0.75;  ///< layers l < round_half_even(num_layers * include_layers)
  double percentile = 99.5;      ///< linear interpolation; strict
  double max_divisor = 10.0;     ///< output_max > floor(max / max_divisor); strict
};
struct SuperExpert {
  int rank = 0;  ///< from 1, by output_max
  int layer = 0;
  int expert = 0;  ///< or kSharedExpert
  double output_max = 0;
  int channel = -1;
  std::int64_t token = -1;  ///< run token index
  std::int64_t count = 0;   ///< slots routed to it; of a shared expert, the tokens
};
struct SuperExpertResult {
  SuperExpertOptions options;
  int layers_included = 0;
  double percentile_threshold = 0;
  double max_threshold = 0;  ///< floor(max / max_divisor)
  std::vector<SuperExpert> super_experts;
  std::vector<SuperExpert>
      ranking;  ///< every expert of every MoE layer with a measured output, by output_max
};
/// Routed and shared experts count, dense MLPs do not.
SuperExpertResult analyze_super_experts(const ExpertTable& table, const SuperExpertOptions& options = {});

/// Router entropy of one MoE layer, in nats, over the tokens of the run for which it was measured.
struct LayerEntropy {
  int layer = 0;
  std::int64_t tokens = 0;
  double mean = 0;
  double min = 0;
  double max = 0;
  double normalised = 0;  ///< mean / ln(num_experts)
};
struct EntropyResult {
  std::vector<LayerEntropy> layers;  ///< MoE layers with measurements
};
EntropyResult analyze_entropy(const std::vector<LayerStats>& layers, const RunInfo& run);

/// Attention mass on the first token of the sequence in one decoder layer (the attention sink of Xiao et al.
/// 2023, arXiv 2309.17453): the softmax weight of position 0, the mean over the query heads, over the tokens
/// for which it was measured. The first token of a sequence has 1.
struct LayerAttention {
  int layer = 0;
  std::int64_t tokens = 0;
  double mean = 0;
  double min = 0;
  double max = 0;
};
struct AttentionResult {
  std::vector<LayerAttention> layers;  ///< decoder layers with measurements
};
AttentionResult analyze_attention(const std::vector<LayerStats>& layers);

struct RunTokens;
/// The mean negative log-likelihood of recorded tokens.
struct RecordedLikelihood {
  std::int64_t tokens = 0;  ///< with a log-probability, and not generated
  double nll_mean = 0;      ///< nats
};
RecordedLikelihood recorded_likelihood(const RunTokens& tokens);

/// Mean over tokens of |selected before and after| / |selected before| in one layer (router saturation of
/// OLMoE, arXiv 2409.02060, between two policies instead of two checkpoints).
struct LayerOverlap {
  int layer = 0;
  double overlap = 0;
};

/// Two runs that read the same tokens, up to where they part.
struct CommonTokens {
  std::int64_t tokens = 0;  ///< both hold the same ones up to here
  std::int64_t scored = 0;  ///< those with a log-probability in both
  double nll_before = 0;    ///< nats, over scored
  double nll_after = 0;
};
class RunData;
Result<CommonTokens> compare_tokens(const RunData& before, const RunData& after, const std::stop_token& stop);
/// Over the first `tokens` of both, which have the same layers; one entry a MoE layer in which any was
/// selected.
Result<std::vector<LayerOverlap>> selection_overlap(const RunData& before, const RunData& after,
                                                    std::int64_t tokens, const std::stop_token& stop);

/// What the expert cache did in all layers together; empty where the backend held all experts.
std::optional<CacheStats> total_cache(const std::vector<LayerStats>& layers);

}  // namespace expertscope
