// SPDX-License-Identifier: GPL-3.0-or-later
// tokenizer.model: field numbers and defaults are those of sentencepiece_model.proto (SentencePiece 0.2).
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/text/protobuf.h"
#include "engine/text/ranked_bpe.h"
#include "engine/text/sentencepiece_normalizer.h"
#include "engine/text/stopping.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/unigram.h"
#include "engine/text/utf8.h"

namespace expertscope {
namespace {

constexpr std::size_t kMaxPieceBytes = 512;

enum class PieceType : std::uint64_t { normal = 1, unknown = 2, control = 3, user = 4, unused = 5, byte = 6 };

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::normal;
};

/// What of a ModelProto counts.
struct Model {
  std::vector<Piece> pieces;
  std::uint64_t type = 1;  ///< 1: UNIGRAM, 2: BPE
  std::int64_t unk = -1, bos = 1, eos = 2;
  bool byte_fallback = false;
  bool suffix = false;  ///< treat_whitespace_as_suffix
  SentencePieceRules rules;
};

/// Calls `use` with every field of a message.
template <class Use>
Status for_each_field(std::string_view message, const std::string& where, const Use& use) {
  ProtobufReader reader(message, where);
  while (true) {
    const auto field = reader.next();
    if (!field) return forward_error(field);
    if (!*field) return {};
    if (auto ok = use(**field); !ok) return ok;
  }
}

Status read_piece(std::string_view message, const std::string& where, std::vector<Piece>& pieces) {
  Piece piece;
  auto ok = for_each_field(message, where, [&](const ProtobufField& field) -> Status {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    if (field.number == 3) piece.type = static_cast<PieceType>(field.value);
    return {};
  });
  if (!ok) return ok;
  const auto kind = static_cast<std::uint64_t>(piece.type);
  if (kind < 1 || kind > 6) return fail(ErrorCode::format, "{}: type: {} is not known", where, kind);
  if (!std::isfinite(piece.score)) return fail(ErrorCode::format, "{}: score: not a finite number", where);
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes)
    return fail(ErrorCode::unsupported, "{}: piece: {} bytes, expected 1 to {}", where, piece.text.size(),
                kMaxPieceBytes);
  if (find_invalid_utf8(piece.text) != std::string_view::npos)
    return fail(ErrorCode::format, "{}: piece: not UTF-8", where);
  pieces.push_back(std::move(piece));
  return {};
}

Status read_trainer(std::string_view message, const std::string& where, Model& model) {
  return for_each_field(message, where, [&](const ProtobufField& field) -> Status {
    const auto id = static_cast<std::int64_t>(field.value);  // -1: there is none
    if (field.number == 3) model.type = field.value;
    if (field.number == 24) model.suffix = field.value != 0;
    if (field.number == 35) model.byte_fallback = field.value != 0;
    if (field.number == 41) model.bos = id;
    if (field.number == 42) model.eos = id;
    return {};
  });
}

Status read_normalizer(std::string_view message, const std::string& where, SentencePieceRules& rules) {
  return for_each_field(message, where, [&](const ProtobufField& field) -> Status {
    if (field.number == 3) rules.dummy_prefix = field.value != 0;
    if (field.number == 4) rules.remove_extra_spaces = field.value != 0;
    if (field.number == 5) rules.escape_spaces = field.value != 0;
    if (field.number != 2 || field.bytes.empty()) return {};
    auto map = Charsmap::parse(field.bytes, where + ": precompiled_charsmap");
    if (!map) return forward_error(map);
    rules.charsmap = std::move(*map);
    return {};
  });
}

Status check(const Model& model, const std::string& file) {
  if (model.type != 1 && model.type != 2)
    return fail(ErrorCode::unsupported,
                "{}: trainer_spec.model_type: {} is not supported, only UNIGRAM and BPE", file, model.type);
  if (model.suffix)
    return fail(ErrorCode::unsupported, "{}: trainer_spec.treat_whitespace_as_suffix is not supported", file);
  if (!model.rules.escape_spaces)
    return fail(ErrorCode::unsupported, "{}: normalizer_spec.escape_whitespaces: false is not supported",
                file);
  if (model.unk < 0) return fail(ErrorCode::format, "{}: pieces: none is of type UNKNOWN", file);
  return {};
}

Result<Model> read_model(std::string_view bytes, const std::string& file, const std::stop_token& stop) {
  Model model;
  auto ok = for_each_field(bytes, file, [&](const ProtobufField& field) -> Status {
    if (auto go = go_on(stop, file); !go) return go;
    if (field.number == 2) return read_trainer(field.bytes, file + ": trainer_spec", model);
    if (field.number == 3) return read_normalizer(field.bytes, file + ": normalizer_spec", model.rules);
    if (field.number != 1) return {};
    if (model.pieces.size() == kMaxTokens)
      return fail(ErrorCode::unsupported, "{}: more than {} pieces", file, kMaxTokens);
    return read_piece(field.bytes, fmt::format("{}: pieces[{}]", file, model.pieces.size()), model.pieces);
  });
  if (!ok) return forward_error(ok);
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == PieceType::unknown) model.unk = static_cast<std::int64_t>(id);
  ok = check(model, file);
  if (!ok) return forward_error(ok);
  return model;
}

bool is_searched(const Piece& piece) {
  return piece.type == PieceType::normal || piece.type == PieceType::user || piece.type == PieceType::unused;
}

tl::unexpected<Error> twice(const std::string& file, std::size_t id, const Piece& piece) {
  return fail(ErrorCode::format, "{}: pieces[{}]: {} is there twice", file, id, json_excerpt(piece.text));
}

/// The better the score, the earlier a piece is merged.
Result<std::unique_ptr<const TokenModel>> make_bpe(const Model& model, const std::string& file) {
  std::vector<std::int32_t> order(model.pieces.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<std::int32_t>(i);
  const auto score = [&](std::int32_t id) { return model.pieces[static_cast<std::size_t>(id)].score; };
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return score(a) > score(b); });
  auto bpe = RankedBpe::of_characters(static_cast<std::int32_t>(model.unk));
  std::int32_t rank = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto id = order[i];
    const Piece& piece = model.pieces[static_cast<std::size_t>(id)];
    if (i > 0 && score(order[i - 1]) != score(id)) ++rank;
    if (piece.type == PieceType::unused)
      return fail(ErrorCode::unsupported, "{}: pieces[{}]: type: UNUSED is not supported in BPE", file, id);
    const bool fresh =
        is_searched(piece) ? bpe.add(piece.text, piece.text, id, rank) : bpe.add_other(piece.text, id);
    if (!fresh) return twice(file, static_cast<std::size_t>(id), piece);
  }
  for (unsigned byte = 0; byte < 256 && model.byte_fallback; ++byte)
    bpe.set_byte(static_cast<std::uint8_t>(byte), bpe.find(fmt::format("<0x{:02X}>", byte)));
  bpe.finish();
  return std::make_unique<const RankedBpe>(std::move(bpe));
}

Result<std::unique_ptr<const TokenModel>> make_unigram(const Model& model, const std::string& file) {
  UnigramModel unigram(static_cast<std::int32_t>(model.unk), model.byte_fallback);
  float best = std::numeric_limits<float>::min();  // as SentencePiece begins: scores are below 0
  for (const Piece& piece : model.pieces)
    if (piece.type == PieceType::normal) best = std::max(best, piece.score);
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    const bool user = piece.type == PieceType::user;
    // SentencePiece's score for these: better than the best tokens in their place.
    const double score = user ? static_cast<double>(static_cast<float>(piece.text.size()) * best) - 0.1
                              : static_cast<double>(piece.score);
    const bool found = user || piece.type == PieceType::normal;
    if (!unigram.add(piece.text, score, found)) return twice(file, id, piece);
  }
  unigram.finish();
  return std::make_unique<const UnigramModel>(std::move(unigram));
}

Json added_token(std::size_t id, const Piece& piece) {
  return {{"id", id}, {"content", piece.text}, {"special", true}, {"normalized", false}};
}

/// Whether texts begin (end) with BOS (EOS): what tokenizer_config.json says, else what Llama's class does.
Result<Json> post_processor(const Model& model, const TokenizerConfig& config) {
  if (!config.document) return forward_error(config.document);
  const auto fields = JsonFields::of(*config.document, config.file);
  if (!fields) return forward_error(fields);
  const auto bos = fields->boolean_or("add_bos_token", true);
  const auto eos = fields->boolean_or("add_eos_token", false);
  if (!bos) return forward_error(bos);
  if (!eos) return forward_error(eos);
  const auto known = [&](bool wanted, std::int64_t id) {
    return wanted && id >= 0 && static_cast<std::size_t>(id) < model.pieces.size() ? id : -1;
  };
  return around_texts(known(*bos, model.bos), known(*eos, model.eos));
}

}  // namespace

Result<TokenizerParts> read_sentencepiece(std::string_view bytes, const std::string& file,
                                          const TokenizerConfig& config, const std::stop_token& stop) {
  auto model = read_model(bytes, file, stop);
  if (!model) return forward_error(model);
  TokenizerParts parts;
  auto made = model->type == 2 ? make_bpe(*model, file) : make_unigram(*model, file);
  if (!made) return forward_error(made);
  parts.model = std::move(*made);
  auto ends = post_processor(*model, config);
  if (!ends) return forward_error(ends);
  if (!ends->is_null()) parts.other["post_processor"] = std::move(*ends);
  Json added = Json::array();
  for (std::size_t id = 0; id < model->pieces.size(); ++id) {
    const Piece& piece = model->pieces[id];
    if (piece.type == PieceType::control || piece.type == PieceType::unknown)
      added.push_back(added_token(id, piece));
    if (piece.type != PieceType::user) continue;
    model->rules.kept.push_back(piece.text);
    if (model->type != 2) continue;  // Unigram weighs them with the others
    AddedToken token;
    token.id = static_cast<std::int32_t>(id);
    token.content = piece.text;
    parts.pieces.push_back(std::move(token));
  }
  parts.other["added_tokens"] = std::move(added);
  const bool strips = model->rules.dummy_prefix;
  Json steps = {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                {{"type", "ByteFallback"}},
                {{"type", "Fuse"}}};
  if (strips) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  parts.other["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(steps)}};
  parts.normalizer = sentencepiece_normalizer(std::move(model->rules), file + ": normalizer_spec");
  return parts;
}

Json around_texts(std::int64_t first, std::int64_t last) {
  if (first < 0 && last < 0) return nullptr;
  Json single = Json::array();
  Json special = Json::object();
  const auto add = [&](const char* name, std::int64_t id) {
    if (id < 0) return;
    special[name] = {{"ids", Json::array({id})}};
    single.push_back({{"SpecialToken", {{"id", name}}}});
  };
  add("first", first);
  single.push_back({{"Sequence", {{"id", "A"}}}});
  add("last", last);
  return {
      {"type", "TemplateProcessing"}, {"single", std::move(single)}, {"special_tokens", std::move(special)}};
}

}  // namespace expertscope
