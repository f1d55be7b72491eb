// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/formats/json_fields.h"
#include "engine/formats/mapped_file.h"
#include "engine/run/routing_policy.h"

namespace expertscope {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// Far more than a person writes; keeps a hostile file from costing more than its size.
constexpr std::size_t kMaxPolicyBytes = 16u << 20;
constexpr std::size_t kMaxEdits = 100'000;

/// One edit of the file being read: what an error needs to say where it is.
struct EditReader {
  const Json& json;
  const std::string& file;
  std::size_t index;

  tl::unexpected<Error> bad(const char* field, const std::string& why) const {
    return fail(ErrorCode::format, "{}: edit {}: field '{}': {}", file, index, field, why);
  }

  Result<int> integer(const char* field) const {
    const auto at = json.find(field);
    if (at == json.end()) return bad(field, "is missing");
    return as_integer(*at, field);
  }

  Result<int> as_integer(const Json& value, const char* field) const {
    if (!value.is_number_integer())
      return bad(field, fmt::format("must be an integer, is {}", value.type_name()));
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<int>::max()}
                          : value.get<std::int64_t>() >= 0;
    if (!fits) return bad(field, "must be an index from 0 up");
    return value.get<int>();
  }

  Result<float> number(const char* field) const {
    const auto at = json.find(field);
    if (at == json.end()) return bad(field, "is missing");
    if (!at->is_number()) return bad(field, fmt::format("must be a number, is {}", at->type_name()));
    const double value = at->get<double>();
    if (!(std::abs(value) <= std::numeric_limits<float>::max())) return bad(field, "must be finite");
    return static_cast<float>(value);
  }

  Result<std::string> text(const char* field) const {
    const auto at = json.find(field);
    if (at == json.end()) return bad(field, "is missing");
    if (!at->is_string()) return bad(field, fmt::format("must be a string, is {}", at->type_name()));
    return at->get<std::string>();
  }

  /// Refuses what this version does not know: a misspelt field must not be ignored in silence.
  Status only(std::initializer_list<const char*> fields) const {
    for (const auto& item : json.items()) {
      const std::string& key = item.key();
      const bool common = key == "op" || key == "layer" || key == "enabled" || key == "note";
      const bool known = std::any_of(fields.begin(), fields.end(), [&](const char* f) { return key == f; });
      if (!common && !known) return bad(key.c_str(), "is not a field of this edit");
    }
    return {};
  }
};

Result<std::vector<int>> read_layers(const EditReader& edit) {
  const auto at = edit.json.find("layer");
  if (at == edit.json.end()) return edit.bad("layer", "is missing (an index, a list or \"*\")");
  if (at->is_string()) {
    if (at->get_ref<const std::string&>() == "*") return std::vector<int>{};
    return edit.bad("layer", "must be an index, a list of indices or \"*\"");
  }
  if (!at->is_array()) {
    auto one = edit.as_integer(*at, "layer");
    if (!one) return forward_error(one);
    return std::vector<int>{*one};
  }
  if (at->empty()) return edit.bad("layer", "is an empty list (\"*\" means every MoE layer)");
  std::vector<int> layers;
  for (const Json& value : *at) {
    auto one = edit.as_integer(value, "layer");
    if (!one) return forward_error(one);
    layers.push_back(*one);
  }
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  return layers;
}

using Action = decltype(RoutingEdit::action);

Result<Action> read_prune(const EditReader& edit) {
  if (auto ok = edit.only({"expert", "mode"}); !ok) return forward_error(ok);
  auto expert = edit.integer("expert");
  if (!expert) return forward_error(expert);
  PruneEdit prune{*expert, PruneMode::mask};
  if (!edit.json.contains("mode")) return prune;
  auto mode = edit.text("mode");
  if (!mode) return forward_error(mode);
  if (*mode == "zero") {
    prune.mode = PruneMode::zero;
  } else if (*mode == "drop") {
    prune.mode = PruneMode::drop;
  } else if (*mode != "mask") {
    return edit.bad("mode", fmt::format("'{}' is not one of mask, zero, drop", *mode));
  }
  return prune;
}

Result<Action> read_reroute(const EditReader& edit) {
  if (auto ok = edit.only({"from", "to"}); !ok) return forward_error(ok);
  auto from = edit.integer("from");
  if (!from) return forward_error(from);
  auto to = edit.integer("to");
  if (!to) return forward_error(to);
  return RerouteEdit{*from, *to};
}

Result<Action> read_bias(const EditReader& edit) {
  if (auto ok = edit.only({"expert", "logit"}); !ok) return forward_error(ok);
  auto expert = edit.integer("expert");
  if (!expert) return forward_error(expert);
  auto logit = edit.number("logit");
  if (!logit) return forward_error(logit);
  return BiasEdit{*expert, *logit};
}

Result<Action> read_force(const EditReader& edit) {
  if (auto ok = edit.only({"expert"}); !ok) return forward_error(ok);
  auto expert = edit.integer("expert");
  if (!expert) return forward_error(expert);
  return ForceEdit{*expert};
}

Result<Action> read_top_k(const EditReader& edit) {
  if (auto ok = edit.only({"k"}); !ok) return forward_error(ok);
  auto k = edit.integer("k");
  if (!k) return forward_error(k);
  return TopKEdit{*k};
}

Result<Action> read_top_p(const EditReader& edit) {
  if (auto ok = edit.only({"p"}); !ok) return forward_error(ok);
  auto p = edit.number("p");
  if (!p) return forward_error(p);
  return TopPEdit{*p};
}

Result<Action> read_action(const EditReader& edit) {
  auto op = edit.text("op");
  if (!op) return forward_error(op);
  if (*op == "prune") return read_prune(edit);
  if (*op == "reroute") return read_reroute(edit);
  if (*op == "bias") return read_bias(edit);
  if (*op == "force") return read_force(edit);
  if (*op == "top_k") return read_top_k(edit);
  if (*op == "top_p") return read_top_p(edit);
  return edit.bad("op", fmt::format("'{}' is not one of prune, reroute, bias, force, top_k, top_p", *op));
}

Result<RoutingEdit> read_edit(const EditReader& reader) {
  if (!reader.json.is_object()) {
    return fail(ErrorCode::format, "{}: edit {}: must be an object, is {}", reader.file, reader.index,
                reader.json.type_name());
  }
  auto action = read_action(reader);
  if (!action) return forward_error(action);
  auto layers = read_layers(reader);
  if (!layers) return forward_error(layers);
  RoutingEdit edit{*action, std::move(*layers), true, {}};
  if (const auto at = reader.json.find("enabled"); at != reader.json.end()) {
    if (!at->is_boolean()) return reader.bad("enabled", "must be true or false");
    edit.enabled = at->get<bool>();
  }
  if (reader.json.contains("note")) {
    auto note = reader.text("note");
    if (!note) return forward_error(note);
    edit.note = std::move(*note);
  }
  return edit;
}

/// The shortest decimal that reads back as the same float: 0.4, not 0.4000000059604645.
double shortest(float value) {
  const std::string text = fmt::format("{}", value);
  double parsed = value;
  std::from_chars(text.data(), text.data() + text.size(), parsed);
  return parsed;
}

struct ActionWriter {
  OrderedJson& json;

  void operator()(const PruneEdit& edit) const {
    json["op"] = "prune";
    json["expert"] = edit.expert;
    json["mode"] = edit.mode == PruneMode::mask ? "mask" : edit.mode == PruneMode::zero ? "zero" : "drop";
  }
  void operator()(const RerouteEdit& edit) const {
    json["op"] = "reroute";
    json["from"] = edit.from;
    json["to"] = edit.to;
  }
  void operator()(const BiasEdit& edit) const {
    json["op"] = "bias";
    json["expert"] = edit.expert;
    json["logit"] = shortest(edit.logit);
  }
  void operator()(const ForceEdit& edit) const {
    json["op"] = "force";
    json["expert"] = edit.expert;
  }
  void operator()(const TopKEdit& edit) const {
    json["op"] = "top_k";
    json["k"] = edit.k;
  }
  void operator()(const TopPEdit& edit) const {
    json["op"] = "top_p";
    json["p"] = shortest(edit.p);
  }
};

OrderedJson write_layers(const std::vector<int>& layers) {
  if (layers.empty()) return "*";
  if (layers.size() == 1) return layers.front();
  return layers;
}

OrderedJson policy_json(const RoutingPolicy& policy) {
  OrderedJson edits = OrderedJson::array();
  for (const RoutingEdit& edit : policy.edits) {
    OrderedJson json;
    std::visit(ActionWriter{json}, edit.action);
    json["layer"] = write_layers(edit.layers);
    if (!edit.enabled) json["enabled"] = false;
    if (!edit.note.empty()) json["note"] = edit.note;
    edits.push_back(std::move(json));
  }
  return OrderedJson{{"version", 1}, {"edits", std::move(edits)}};
}

/// A note may hold anything a person pasted: bytes that are not UTF-8 become U+FFFD instead of throwing.
std::string dump(const OrderedJson& json, int indent) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace

Result<RoutingPolicy> RoutingPolicy::from_json(std::string_view json, const std::string& name) {
  if (json.size() > kMaxPolicyBytes) {
    return fail(ErrorCode::format, "{}: {} bytes are too many for a routing policy", name, json.size());
  }
  const auto document = parse_json(json, name, {.duplicates = DuplicateKeys::refuse});
  if (!document) return forward_error(document);
  const Json& root = *document;
  if (!root.is_object())
    return fail(ErrorCode::format, "{}: must be an object with 'version' and 'edits'", name);
  for (const auto& [key, value] : root.items()) {
    if (key != "version" && key != "edits") {
      return fail(ErrorCode::format, "{}: field '{}' is not a field of a routing policy", name, key);
    }
  }
  const auto version = root.find("version");
  if (version == root.end()) return fail(ErrorCode::format, "{}: field 'version' is missing", name);
  if (!version->is_number_integer() || *version != 1) {
    return fail(ErrorCode::unsupported, "{}: field 'version': this program reads version 1, the file says {}",
                name, json_excerpt(*version));
  }
  const auto list = root.find("edits");
  if (list == root.end()) return fail(ErrorCode::format, "{}: field 'edits' is missing", name);
  if (!list->is_array()) return fail(ErrorCode::format, "{}: field 'edits': must be a list", name);
  if (list->size() > kMaxEdits)
    return fail(ErrorCode::format, "{}: field 'edits': {} edits, at most {} are allowed", name, list->size(),
                kMaxEdits);
  RoutingPolicy policy;
  for (std::size_t index = 0; index < list->size(); ++index) {
    auto edit = read_edit({(*list)[index], name, index});
    if (!edit) return forward_error(edit);
    policy.edits.push_back(std::move(*edit));
  }
  return policy;
}

Result<RoutingPolicy> RoutingPolicy::load(const std::filesystem::path& file) {
  const auto text = read_file(file, kMaxPolicyBytes);
  if (!text) return forward_error(text);
  return from_json(*text, file.string());
}

std::string RoutingPolicy::to_json() const {
  return dump(policy_json(*this), -1);
}

std::string RoutingPolicy::to_text() const {
  return dump(policy_json(*this), 2) + '\n';
}

}  // namespace expertscope
