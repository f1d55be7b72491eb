// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/run_columns.h"

#include <type_traits>

#include "probes/store/aggregates.h"

namespace expertscope {
namespace {

using R = RunInfo;
using M = ModelIdentity;
using Null = RunColumn::Null;

constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::min();
constexpr auto kLong = static_cast<std::int64_t>(kMaxLongText);

constexpr RunColumn kColumns[] = {
    {"id", &R::id, "key; grows with time, and is not given again when a run was deleted", kAny, kNone,
     Null::key},
    {"kind", &R::kind, "`generate` or `profile`"},
    {"started_at", &R::started_at, "ISO 8601, UTC"},
    {"finished_at", &R::finished_at, "the same; NULL until the run is closed", kMaxText, 0, Null::when_empty},
    {"status", &R::status, "`recording`, `finished`, `stopped`, `failed`, `interrupted`"},
    {"message", &R::message,
     "why it failed or was stopped; what else a reader has to know: weights that were written to after the "
     "model was opened"},
    {"writer", &R::writer,
     "the recording thread: boot id / pid namespace / pid / thread id / start time of the thread"},
    {"model_path", &M::path, "as the person named it"},
    {"model_name", &M::name, "the last component of the folder"},
    {"config_sha256", &M::config_sha256, "of config.json, or of the header of a GGUF file, hex"},
    {"tensor_count", &M::tensor_count, "of all weight files", kAny},
    {"total_bytes", &M::total_bytes, "of all weight files", kAny},
    {"architecture", &R::architecture, "`architectures[0]` of config.json"},
    {"layers", &R::layers, "decoder layers", kMaxLayers, 1},
    {"experts", &R::experts, "routed experts per MoE layer", kMaxExperts},
    {"top_k", &R::top_k, "the model's own top_k", kMaxExperts},
    {"hidden_size", &R::hidden_size, "channels of the residual stream", kNoChannel - 1},
    {"moe_layers", &R::moe_layer, "JSON list of the layers with a router"},
    {"program_version", &R::program_version, "e.g. `0.1.0`"},
    {"backend", &R::backend, "e.g. `CPU bf16 (AMX, 2 threads)`"},
    {"math", &R::math, "`f32` or `bf16`"},
    {"sampling", &R::sampling, "JSON of the sampling settings; empty for a profile"},
    {"dataset", &R::dataset, "name of the data; for a generation, the prompt's first words"},
    {"dataset_sha256", &R::dataset_sha256, "of the data; of the prompt for a generation"},
    {"prompt", &R::prompt, "of a generation", kLong},
    {"text", &R::text, "what was generated; written when the run is closed", kLong},
    {"probes", &R::probes, "which ran, in all of the run or a part, with commas between"},
    {"tokens", &R::tokens, "committed tokens", kMaxTokens},
    {"dropped_tokens", &R::dropped_tokens, "tokens a live view could not keep up with; see `dropped`",
     kMaxTokens},
    {"backend_reason", &R::backend_reason,
     "why that backend ran: `asked for`, `no NVIDIA driver: libcuda.so.1 was not found`, ..."},
    {"device", &R::device, "the GPU, as its driver names it: `NVIDIA H200`; empty for the CPU"},
    {"device_uuid", &R::device_uuid, "`GPU-5e3f...`; empty for the CPU"},
    {"driver", &R::driver,
     "its version and the newest CUDA it runs: `580.159.04, CUDA 13.0`; empty for the CPU"},
    {"device_memory", &R::device_memory, "bytes of the GPU's memory; NULL for the CPU", kAny, 0,
     Null::when_empty},
};

template <class Value>
constexpr bool kIsNumber = std::is_integral_v<Value>;

}  // namespace

std::span<const RunColumn> run_columns() {
  return kColumns;
}

const char* sql_type(const RunColumn& column) {
  return std::visit(
      []<class Owner, class Value>(Value Owner::*) { return kIsNumber<Value> ? "INTEGER" : "TEXT"; },
      column.member);
}

std::string sql_declaration(const RunColumn& column) {
  const std::string type = sql_type(column);
  if (column.null == Null::key) return type + " PRIMARY KEY";
  return column.null == Null::never ? type + " NOT NULL" : type;
}

}  // namespace expertscope
