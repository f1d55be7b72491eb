// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/analysis/export.h"

#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

namespace expertscope {
namespace {

using Json = nlohmann::ordered_json;

// What CSV calls missing and JSON null: a number that is not one.
std::string csv_number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : std::string();
}
template <class Integer>
std::string csv_index(Integer value) {
  return value < 0 ? std::string() : fmt::format("{}", value);
}
Json json_number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
template <class Integer>
Json json_index(Integer value) {
  return value < 0 ? Json(nullptr) : Json(value);
}
Json json_numbers(const std::vector<double>& values) {
  Json array = Json::array();
  for (const double value : values)
    array.push_back(json_number(value));
  return array;
}

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

const char* name(SuperExpertDefinition definition) {
  return definition == SuperExpertDefinition::paper ? "paper" : "upstream";
}

Json super_expert_json(const SuperExpert& expert) {
  return {{"rank", expert.rank},
          {"layer", expert.layer},
          {"expert", expert.expert},
          {"output_max", json_number(expert.output_max)},
          {"channel", json_index(expert.channel)},
          {"token", json_index(expert.token)},
          {"count", expert.count}};
}

// Replacement rather than an exception for bytes that are not UTF-8; there are none in our keys.
std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string to_json(const LoadResult& result) {
  Json layers = Json::array();
  for (const LayerLoad& load : result.layers) {
    layers.push_back({{"layer", load.layer},
                      {"count", load.count},
                      {"share", json_numbers(load.share)},
                      {"weight_sum", json_numbers(load.weight_sum)},
                      {"dead_experts", load.dead_experts},
                      {"max_over_mean", json_number(load.max_over_mean)},
                      {"jain", json_number(load.jain)}});
  }
  return dump({{"analysis", "load"}, {"tokens", result.tokens}, {"layers", std::move(layers)}});
}

std::string to_csv(const LoadResult& result) {
  std::string csv = "layer,expert,count,share,weight_sum\n";
  for (const LayerLoad& load : result.layers) {
    for (std::size_t expert = 0; expert < load.count.size(); ++expert) {
      fmt::format_to(std::back_inserter(csv), "{},{},{},{},{}\n", load.layer, expert, load.count[expert],
                     csv_number(load.share[expert]), csv_number(load.weight_sum[expert]));
    }
  }
  return csv;
}

std::string to_json(const SuperExpertResult& result) {
  Json super_experts = Json::array();
  for (const SuperExpert& expert : result.super_experts)
    super_experts.push_back(super_expert_json(expert));
  Json ranking = Json::array();
  for (const SuperExpert& expert : result.ranking)
    ranking.push_back(super_expert_json(expert));
  return dump({{"analysis", "super-experts"},
               {"definition", name(result.options.definition)},
               {"include_layers", result.options.include_layers},
               {"percentile", result.options.percentile},
               {"max_divisor", result.options.max_divisor},
               {"layers_included", result.layers_included},
               {"percentile_threshold", json_number(result.percentile_threshold)},
               {"max_threshold", json_number(result.max_threshold)},
               {"super_experts", std::move(super_experts)},
               {"ranking", std::move(ranking)}});
}

std::string to_csv(const SuperExpertResult& result) {
  std::string csv = "rank,layer,expert,output_max,channel,token,count,super_expert\n";
  for (const SuperExpert& expert : result.ranking) {
    bool super = false;
    for (const SuperExpert& other : result.super_experts) {
      super = super || (other.layer == expert.layer && other.expert == expert.expert);
    }
    fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{},{},{}\n", expert.rank, expert.layer,
                   expert.expert, csv_number(expert.output_max), csv_index(expert.channel),
                   csv_index(expert.token), expert.count, super ? 1 : 0);
  }
  return csv;
}

std::string to_json(const EntropyResult& result) {
  Json layers = Json::array();
  for (const LayerEntropy& entropy : result.layers) {
    layers.push_back({{"layer", entropy.layer},
                      {"tokens", entropy.tokens},
                      {"mean_nats", json_number(entropy.mean)},
                      {"min_nats", json_number(entropy.min)},
                      {"max_nats", json_number(entropy.max)},
                      {"normalised", json_number(entropy.normalised)}});
  }
  return dump({{"analysis", "entropy"}, {"layers", std::move(layers)}});
}

std::string to_csv(const EntropyResult& result) {
  std::string csv = "layer,tokens,mean_nats,min_nats,max_nats,normalised\n";
  for (const LayerEntropy& entropy : result.layers) {
    fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{}\n", entropy.layer, entropy.tokens,
                   csv_number(entropy.mean), csv_number(entropy.min), csv_number(entropy.max),
                   csv_number(entropy.normalised));
  }
  return csv;
}

std::string to_json(const AttentionResult& result) {
  Json layers = Json::array();
  for (const LayerAttention& attention : result.layers) {
    layers.push_back({{"layer", attention.layer},
                      {"tokens", attention.tokens},
                      {"mean", json_number(attention.mean)},
                      {"min", json_number(attention.min)},
                      {"max", json_number(attention.max)}});
  }
  return dump({{"analysis", "attention"}, {"layers", std::move(layers)}});
}

std::string to_csv(const AttentionResult& result) {
  std::string csv = "layer,tokens,mean,min,max\n";
  for (const LayerAttention& attention : result.layers) {
    fmt::format_to(std::back_inserter(csv), "{},{},{},{},{}\n", attention.layer, attention.tokens,
                   csv_number(attention.mean), csv_number(attention.min), csv_number(attention.max));
  }
  return csv;
}

std::string to_csv(const ExpertTable& table) {
  std::string csv =
      "layer,expert,count,probability_sum,weight_sum,norm_sum,weighted_norm_sum,output_max,output_channel,"
      "output_token,first_row_max,first_row_channel,first_row_token\n";
  for (int layer = 0; layer < table.layers; ++layer) {
    if (table.moe_layer[layer] == 0) continue;
    for (int expert = table.first_expert(layer); expert < table.experts; ++expert) {
      const ExpertStats& stats = table.at(layer, expert);
      const auto if_routed = [expert](double sum) { return expert == kSharedExpert ? kNoNumber : sum; };
      fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{},{},{},{},{},{},{},{}\n", layer, expert,
                     stats.count, csv_number(if_routed(stats.probability_sum)),
                     csv_number(if_routed(stats.weight_sum)), csv_number(stats.norm_sum),
                     csv_number(if_routed(stats.weighted_norm_sum)), csv_number(stats.output_max),
                     csv_index(stats.output_channel), csv_index(stats.output_token),
                     csv_number(stats.first_row_max), csv_index(stats.first_row_channel),
                     csv_index(stats.first_row_token));
    }
  }
  return csv;
}

std::string to_json(const ExpertTable& table) {
  Json cells = Json::array();
  for (int layer = 0; layer < table.layers; ++layer) {
    if (table.moe_layer[layer] == 0) continue;
    for (int expert = table.first_expert(layer); expert < table.experts; ++expert) {
      const ExpertStats& stats = table.at(layer, expert);
      const auto if_routed = [expert](double sum) { return expert == kSharedExpert ? kNoNumber : sum; };
      cells.push_back({{"layer", layer},
                       {"expert", expert},
                       {"count", stats.count},
                       {"probability_sum", json_number(if_routed(stats.probability_sum))},
                       {"weight_sum", json_number(if_routed(stats.weight_sum))},
                       {"norm_sum", json_number(stats.norm_sum)},
                       {"weighted_norm_sum", json_number(if_routed(stats.weighted_norm_sum))},
                       {"output_max", json_number(stats.output_max)},
                       {"output_channel", json_index(stats.output_channel)},
                       {"output_token", json_index(stats.output_token)},
                       {"first_row_max", json_number(stats.first_row_max)},
                       {"first_row_channel", json_index(stats.first_row_channel)},
                       {"first_row_token", json_index(stats.first_row_token)}});
    }
  }
  return dump({{"layers", table.layers},
               {"experts", table.experts},
               {"tokens", table.tokens},
               {"cells", std::move(cells)}});
}

}  // namespace expertscope
