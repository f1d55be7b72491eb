// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPainter>
#include <QRectF>
#include <QString>

#include "views/models/edit_marks.h"

namespace expertscope {

/// What is marked, on the map, in its margin and in lists. Every one differs in shape, not in colour only.
enum class Glyph : std::uint8_t {
  super,     ///< a triangle
  mask,      ///< pruned: a cross
  zero,      ///< pruned: a struck ring
  drop,      ///< pruned: a dashed cross
  reroute,   ///< an arrow
  boost,     ///< a plus
  suppress,  ///< a minus
  force,     ///< a diamond
};

QString glyph_name(Glyph glyph);
/// What an edit does to a cell, in the order of the enumeration.
std::vector<Glyph> glyphs_of(const CellMarks& marks);

/// In the middle of `box`; with `halo` light on dark, to be read on every colour of the map.
void paint_glyph(QPainter& painter, Glyph glyph, const QRectF& box, const QColor& ink, bool halo = false);

/// A ring of `ink` between two black ones, around a cell and outside of it: 9 pixels across at least.
void paint_ring(QPainter& painter, const QRectF& cell, const QColor& ink);

/// An arrow from one cell to another of the same layer, past the cells in between.
void paint_reroute_arrow(QPainter& painter, const QRectF& from, const QRectF& to);

}  // namespace expertscope
