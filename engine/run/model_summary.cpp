// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/run/model_summary.h"

#include <algorithm>
#include <limits>
#include <map>

#include "engine/cpu/kv_cache.h"
#include "engine/formats/gguf.h"
#include "engine/formats/weight_format.h"
#include "engine/model/model_folder.h"
#include "engine/model/model_source.h"
#include "engine/run/usual_options.h"

namespace expertscope {
namespace {

void add_up(const TensorSource& source, ModelSummary& summary) {
  std::map<std::string, std::uint64_t> formats;
  for (const SourceTensor& tensor : source.tensors) {
    summary.bytes += static_cast<std::int64_t>(tensor.bytes);
    formats[tensor.format] += tensor.bytes;
  }
  const auto most = std::max_element(formats.begin(), formats.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most == formats.end()) return;
  summary.format = find_weight_format(most->first) != nullptr ? most->first : "packed";
}

}  // namespace

Result<ModelSummary> summarise_model(const std::filesystem::path& named, const std::stop_token& stop) {
  const auto found = find_model(named);
  if (!found) return forward_error(found);
  const auto source = is_gguf(*found) ? gguf_source(*found, stop) : folder_source(*found, stop);
  ModelIdentity identity;
  const auto parsed = source->config(identity);
  if (!parsed) return forward_error(parsed);
  const ModelConfig& config = parsed->config;
  const auto tensors = source->tensors({});
  if (!tensors) return forward_error(tensors);
  ModelSummary summary;
  summary.family = config.model_type;
  summary.layers = config.num_layers();
  summary.experts = config.num_experts();
  summary.top_k = config.top_k();
  add_up(*tensors, summary);
  const int context = std::min(kUsualContext, config.max_position_embeddings);
  constexpr auto kMost = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max() / 4);
  const auto kv = cpu::KvCache::bytes(config, usual_options({BackendKind::cpu, 0}, context)).value();
  summary.kv_cache = static_cast<std::int64_t>(std::min(kv, kMost));
  return summary;
}

}  // namespace expertscope
