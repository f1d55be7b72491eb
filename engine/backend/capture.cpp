// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/backend/capture.h"

namespace expertscope {

static_assert(kNoExpert == static_cast<std::uint16_t>(-1));

void CaptureBlock::prepare(const CaptureRequest& what, const BlockShape& shape) {
  request = what;
  static_cast<BlockShape&>(*this) = shape;
  token_id.resize(shape.values(Granularity::token));
  position.resize(shape.values(Granularity::token));
  sequence.resize(shape.values(Granularity::token));
  for_each_column(
      [&]<class T>(const ProbeColumn& column, std::vector<T>& values) {
        values.assign(shape.values(column, what), unset<T>(column.kind));
      },
      *this);
  // A backend with an expert cache sizes and fills these itself.
  cache_hits.clear();
  cache_misses.clear();
  cache_bytes.clear();
}

}  // namespace expertscope
