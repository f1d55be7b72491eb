// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/store/block_reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "probes/store/schema.h"

namespace expertscope {
namespace {

constexpr std::size_t kExpertColumn = [] {
  std::size_t column = 0;
  while (std::string_view(kStored[column].name) != "expert")
    ++column;
  return column;
}();

// A file describes a handful; one that describes thousands would make every query long.
constexpr std::size_t kMostColumns = 4096;

std::size_t index_of(const std::string& name) {
  const auto* found = std::find_if(kStored.begin(), kStored.end(),
                                   [&](const ProbeColumn& column) { return name == column.name; });
  return static_cast<std::size_t>(found - kStored.begin());
}

// Values a token; -1: none that the run can have.
std::int64_t sound_width(std::int64_t claimed, Granularity granularity, int experts) {
  const bool slots = granularity == Granularity::slot && claimed >= 0 && claimed <= experts;
  const std::int64_t fixed = granularity == Granularity::expert ? experts : 1;
  return slots || (granularity != Granularity::slot && claimed == fixed) ? claimed : -1;
}

// Which columns of a block are there.
std::array<bool, kStoredColumns> present(const LayerColumns& block) {
  std::array<bool, kStoredColumns> there{};
  std::size_t next = 0;
  for_each_stored_column(
      [&](const ProbeColumn&, const auto& values) { there[next++] = values.data() != nullptr; }, block);
  return there;
}

bool together(const ProbeColumn& a, const ProbeColumn& b) {
  return a.granularity == b.granularity && a.probes == b.probes;
}

}  // namespace

Result<BlockReader> BlockReader::open(const Database& database, std::int64_t run, int experts,
                                      ColumnFilter wanted) {
  BlockReader reader(database, run, experts, wanted);
  if (auto status = reader.read_columns(); !status) return forward_error(status);
  if (auto status = reader.prepare(); !status) return forward_error(status);
  return reader;
}

tl::unexpected<Error> BlockReader::damaged(int layer, std::int64_t token, const std::string& what) const {
  const std::string where = layer < 0 ? std::string() : fmt::format(", layer {}", layer);
  return fail(ErrorCode::format, "{}: damaged trace: column_block of run {}{}, token {}: {}",
              database_->file().string(), run_, where, token, what);
}

Status BlockReader::read_columns() {
  auto query =
      database_->prepare("SELECT id, name, granularity, encoding FROM column ORDER BY id LIMIT 4097");
  if (!query) return forward_error(query);
  const std::string file = database_->file().string();
  std::size_t rows = 0;
  return query->for_each_row([&](const Statement& row) -> Status {
    const std::int64_t id = row.integer(0);
    const std::string name = row.text(1);
    if (++rows > kMostColumns || (!known_.empty() && id <= known_.back().id))
      return fail(ErrorCode::format, "{}: damaged trace: table column has too many rows, or one twice", file);
    const std::size_t column = index_of(name);
    if (column == kStoredColumns) return {};  // of a later program
    if (row.text(2) != name_of(kStored[column].granularity)) {
      return fail(ErrorCode::format, "{}: damaged trace: column {} is one of a {}, not of a {}", file, name,
                  bounded_text(row.text(2), 64), name_of(kStored[column].granularity));
    }
    if (!wanted_(kStored[column])) return {};
    for (const Encoding encoding : {Encoding::f32, Encoding::packed, Encoding::rounded}) {
      if (row.text(3) != name_of(encoding)) continue;
      known_.push_back({id, column, encoding});
      return {};
    }
    return fail(ErrorCode::unsupported, "{}: column {} is encoded as {}, which this program does not read",
                file, name, bounded_text(row.text(3), 64));
  });
}

Status BlockReader::prepare() {
  std::vector<std::int64_t> ids;
  for (const Known& known : known_)
    ids.push_back(known.id);
  // Blocks are at most kBlockTokens long, so those that overlap a range begin less than that before it.
  auto query = database_->prepare(
      fmt::format("SELECT first_token, column, tokens, width, data FROM column_block WHERE run = ?1 AND "
                  "layer = ?2 AND first_token > ?3 AND first_token < ?4 AND column IN ({}) "
                  "ORDER BY first_token, column",
                  fmt::join(ids, ",")));
  if (!query) return forward_error(query);
  query_ = std::move(*query);
  return {};
}

// One column of a block; else what is wrong with it.
std::string BlockReader::decode_column(const Statement& row, const Known& known, LayerColumns& block) {
  const ProbeColumn& column = kStored[known.column];
  const std::int64_t width = sound_width(row.integer(3), column.granularity, experts_);
  if (width < 0) return fmt::format("{} claims {} values a token", column.name, row.integer(3));
  if (column.granularity == Granularity::slot) {
    if (block.slots >= 0 && block.slots != width)
      return fmt::format("{} claims {} slots, not {}", column.name, width, block.slots);
    block.slots = static_cast<int>(width);
  }
  const std::size_t count = static_cast<std::size_t>(block.tokens) * static_cast<std::size_t>(width);
  bool twice = false;
  bool good = false;
  std::size_t next = 0;
  const auto read = [&]<class T>(const ProbeColumn&, std::vector<T>& buffer, std::span<const T>& values) {
    if (next++ != known.column) return;
    twice = values.data() != nullptr;
    good = !twice && decode(known.encoding, row.blob(4), count, buffer);
    buffer.reserve(1);  // so that no values are not the same as none
    values = buffer;
  };
  for_each_stored_column(read, buffers_, block);
  if (twice) return fmt::format("{} is there twice", column.name);
  return good ? std::string()
              : fmt::format("{} does not hold {} tokens x {}", column.name, block.tokens, width);
}

// The columns of a block that are measured together have to be there together.
std::string BlockReader::check(const LayerColumns& block) const {
  const auto there = present(block);
  // Of those that are wanted, also such as table `column` says nothing of.
  for (std::size_t a = 0; a < kStoredColumns; ++a) {
    if (!there[a]) continue;
    if (kStored[a].granularity == Granularity::slot && !there[kExpertColumn]) return "there is no expert";
    for (std::size_t b = 0; b < kStoredColumns; ++b) {
      if (wanted_(kStored[b]) && !there[b] && together(kStored[a], kStored[b]))
        return "columns that are measured together are not all there";
    }
  }
  return {};
}

// Takes a row into the block that it belongs to.
Status BlockReader::take_row(const Statement& row, int layer, LayerColumns& block) {
  const Place place{row.integer(0), row.integer(1)};
  const std::int64_t tokens = row.integer(2);
  // In a damaged file a table can give its rows again and again.
  if (place <= last_) return damaged(layer, place.token, "it comes after a later row, or twice");
  last_ = place;
  if (block.tokens == 0) {
    block.first_token = place.token;
    block.slots = -1;
    if (place.token < 0 || place.token >= kMaxTokens || tokens < 1 || tokens > kBlockTokens)
      return damaged(layer, place.token, fmt::format("it claims {} tokens", tokens));
    block.tokens = static_cast<int>(tokens);
  }
  if (tokens != block.tokens)
    return damaged(layer, place.token, fmt::format("it claims {} tokens, and {}", block.tokens, tokens));
  const auto known = std::lower_bound(known_.begin(), known_.end(), place.column,
                                      [](const Known& a, std::int64_t id) { return a.id < id; });
  const bool listed = known != known_.end() && known->id == place.column;
  const std::string problem = listed ? decode_column(row, *known, block) : "a column that was not asked for";
  return problem.empty() ? Status() : Status(damaged(layer, place.token, problem));
}

Status BlockReader::for_each(int layer, const ClampedRange& range,
                             const std::function<bool(const LayerColumns&)>& visit) {
  if (known_.empty()) return {};
  query_.reset();
  query_.bind(1, run_);
  query_.bind(2, layer);
  query_.bind(3, range.begin - kBlockTokens);
  query_.bind(4, range.end);
  LayerColumns block;
  last_ = {};
  bool going = true;
  const auto finish = [&]() -> Status {
    if (block.tokens == 0) return {};
    if (const std::string problem = check(block); !problem.empty())
      return damaged(layer, block.first_token, problem);
    block.slots = std::max(block.slots, 0);
    if (block.first_token + block.tokens > range.begin) going = visit(block);
    block = {};
    return {};
  };
  auto status = query_.for_each_row([&](const Statement& row) -> Status {
    if (block.tokens != 0 && row.integer(0) != block.first_token) {
      if (auto done = finish(); !done) return done;
      if (!going) return fail(ErrorCode::cancelled, "the visitor has seen enough");
    }
    return take_row(row, layer, block);
  });
  if (!going) return {};
  return status ? finish() : status;
}

Status BlockReader::for_each_tokens(const ClampedRange& range,
                                    const std::function<bool(const LayerColumns&)>& visit) {
  std::int64_t expected = -1;
  Status joined;
  auto status = for_each(kTokenLayer, range, [&](const LayerColumns& block) {
    if (expected >= 0 && block.first_token != expected)
      joined = damaged(kTokenLayer, block.first_token,
                       fmt::format("the block before it ends at token {}", expected));
    if (joined && block.token_id.empty())
      joined = damaged(kTokenLayer, block.first_token, "it does not say which tokens they are");
    expected = block.first_token + block.tokens;
    return joined.has_value() && visit(block);
  });
  return status && !joined ? joined : status;
}

}  // namespace expertscope
