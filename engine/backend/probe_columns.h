// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/// What probes measure, as data: capture, its copies from a device, recorder, trace and SPEC.md follow from
/// the two tables below. Kernels include this file.
namespace expertscope {

/// Which probes run. A probe that is off costs nothing; none changes a logit.
struct CaptureRequest {
  bool routing = false;
  bool expert_output = false;
  bool hidden = false;
  bool entropy = false;
  bool log_prob = false;
  bool attention = false;
  bool contribution = false;
  bool router_logits = false;

  constexpr bool operator==(const CaptureRequest&) const = default;
  constexpr bool any() const;
  /// Every probe but those that take much room.
  static constexpr CaptureRequest standard();
};

/// Which of the flags; by a name of its own, as nvcc writes what it stands for in another way than g++ wants.
using ProbeFlag = bool CaptureRequest::*;

/// A probe by the name that traces, options and exports know it by.
struct Probe {
  const char* name;
  ProbeFlag flag;
  const char* meaning;
  bool standard = true;  ///< on unless somebody says otherwise; the others are options of the command line
};
inline constexpr std::array kProbes = {
    Probe{"routing", &CaptureRequest::routing, "what the router chose, slot by slot"},
    Probe{"expert_output", &CaptureRequest::expert_output, "how large the experts' outputs are"},
    Probe{"hidden", &CaptureRequest::hidden, "how large the residual stream is"},
    Probe{"entropy", &CaptureRequest::entropy, "how sure the router is"},
    Probe{"log_prob", &CaptureRequest::log_prob, "how likely each token was"},
    Probe{"attention", &CaptureRequest::attention, "how much attention the first position takes"},
    Probe{"contribution", &CaptureRequest::contribution, "which share of a layer's sum each slot is", false},
    Probe{"router_logits", &CaptureRequest::router_logits, "the full router logits of every token", false},
};

constexpr bool CaptureRequest::any() const {
  return *this != CaptureRequest{};
}
constexpr CaptureRequest CaptureRequest::standard() {
  CaptureRequest request;
  for (const Probe& probe : kProbes)
    request.*probe.flag = probe.standard;
  return request;
}
/// The probes that are on in one of them.
constexpr CaptureRequest either(CaptureRequest a, const CaptureRequest& b) {
  for (const Probe& probe : kProbes)
    a.*probe.flag = a.*probe.flag || b.*probe.flag;
  return a;
}

/// Of what a column has one value, and so what its array is.
enum class Granularity : std::uint8_t {
  token,      ///< [tokens]
  layer,      ///< [layers, tokens], dense ones included
  moe_layer,  ///< [moe_layers, tokens], like those below
  slot,       ///< [moe_layers, tokens, slots]
  expert,     ///< [moe_layers, tokens, experts]; `experts` of the widest layer
  shared,     ///< [moe_layers, tokens] of the shared expert; empty where no layer has one
};

/// What a value is, and with that what stands where nothing was measured.
enum class ColumnKind : std::uint8_t {
  index,      ///< of an expert or a channel; -1 (kNoExpert): none
  magnitude,  ///< a number that is not negative; 0
  number,     ///< any other; NaN
};

/// One array of a CaptureBlock.
struct ProbeColumn {
  const char* name = "";
  Granularity granularity = Granularity::token;
  ColumnKind kind = ColumnKind::number;
  std::array<ProbeFlag, 3> probes = {};  ///< each of which asks for it
  const char* unit = "";
  const char* meaning = "";

  constexpr bool measured(const CaptureRequest& request) const {
    for (const auto probe : probes)
      if (probe != nullptr && request.*probe) return true;
    return false;
  }
};

/// The arrays, as vectors, spans or pointers.
template <template <class> class Of>
struct ProbeArrays {
  Of<float> log_prob{};
  Of<std::uint16_t> expert{};
  Of<float> probability{};
  Of<float> weight{};
  Of<float> output_norm{};
  Of<float> output_max{};
  Of<std::int32_t> output_channel{};
  Of<float> contribution{};
  Of<float> shared_norm{};
  Of<float> shared_max{};
  Of<std::int32_t> shared_channel{};
  Of<float> entropy{};
  Of<float> hidden_max{};
  Of<std::int32_t> hidden_channel{};
  Of<float> first_token_attention{};
  Of<float> router_logits{};
};

/// The table of columns: visit(its row, the array of each of `sets`) for every column. f_e: the output of an
/// expert's down_proj before the combine weight, or before the shared expert's gate.
template <class Visit, class... Sets>
constexpr void for_each_column(Visit&& visit, Sets&&... sets) {
  using P = CaptureRequest;
  using G = Granularity;
  using K = ColumnKind;
  using C = ProbeColumn;
  visit(C{"log_prob", G::token, K::number, {&P::log_prob}, "nats", "log-probability given the prefix"},
        sets.log_prob...);
  visit(C{"expert",
          G::slot,
          K::index,
          {&P::routing, &P::expert_output, &P::contribution},
          "",
          "expert that ran"},
        sets.expert...);
  visit(C{"probability", G::slot, K::magnitude, {&P::routing}, "", "score at selection: RouterSpec::Score"},
        sets.probability...);
  visit(C{"weight", G::slot, K::magnitude, {&P::routing}, "", "combine weight applied"}, sets.weight...);
  visit(C{"output_norm", G::slot, K::magnitude, {&P::expert_output}, "", "L2 norm of f_e"},
        sets.output_norm...);
  visit(C{"output_max", G::slot, K::magnitude, {&P::expert_output}, "", "largest absolute value of f_e"},
        sets.output_max...);
  visit(C{"output_channel", G::slot, K::index, {&P::expert_output}, "", "channel of output_max"},
        sets.output_channel...);
  visit(C{"contribution",
          G::slot,
          K::magnitude,
          {&P::contribution},
          "",
          "L2 norm of what the slot adds over that of the sum over the slots; 0 where the sum is 0"},
        sets.contribution...);
  visit(C{"shared_norm", G::shared, K::magnitude, {&P::expert_output}, "", "L2 norm of f_e"},
        sets.shared_norm...);
  visit(C{"shared_max", G::shared, K::magnitude, {&P::expert_output}, "", "largest absolute value of f_e"},
        sets.shared_max...);
  visit(C{"shared_channel", G::shared, K::index, {&P::expert_output}, "", "channel of shared_max"},
        sets.shared_channel...);
  visit(C{"entropy", G::moe_layer, K::magnitude, {&P::entropy}, "nats", "entropy of the router's scores"},
        sets.entropy...);
  visit(C{"hidden_max", G::layer, K::magnitude, {&P::hidden}, "", "largest absolute hidden state after it"},
        sets.hidden_max...);
  visit(C{"hidden_channel", G::layer, K::index, {&P::hidden}, "", "channel of hidden_max"},
        sets.hidden_channel...);
  visit(C{"first_token_attention",
          G::layer,
          K::magnitude,
          {&P::attention},
          "",
          "attention mass on position 0, the mean over the query heads"},
        sets.first_token_attention...);
  visit(C{"router_logits", G::expert, K::number, {&P::router_logits}, "", "as the model computed them"},
        sets.router_logits...);
}

/// How many values of a column stand where; all from one place, so that no two arrays disagree.
struct BlockShape {
  int tokens = 0;
  int layers = 0;       ///< decoder layers
  int moe_layers = 0;   ///< layers with a MoE block
  int slots = 0;        ///< slots per token: RoutingTable::max_top_k
  int experts = 0;      ///< num_experts
  bool shared = false;  ///< a layer has a shared expert

  constexpr bool operator==(const BlockShape&) const = default;
  /// What the first index of an array counts.
  constexpr int groups(Granularity of) const {
    if (of == Granularity::token) return 1;
    return of == Granularity::layer ? layers : moe_layers;
  }
  /// Values a token and group.
  constexpr int width(Granularity of) const {
    if (of == Granularity::shared) return shared ? 1 : 0;
    return of == Granularity::slot ? slots : of == Granularity::expert ? experts : 1;
  }
  constexpr std::size_t values(Granularity of) const {
    return static_cast<std::size_t>(groups(of)) * static_cast<std::size_t>(tokens) *
           static_cast<std::size_t>(width(of));
  }
  /// Length of the array of a column under a request.
  constexpr std::size_t values(const ProbeColumn& column, const CaptureRequest& request) const {
    return column.measured(request) ? values(column.granularity) : 0;
  }
};

}  // namespace expertscope
