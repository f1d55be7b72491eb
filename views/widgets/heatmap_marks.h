// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QPainter>
#include <QRectF>

#include "views/models/edit_marks.h"

namespace expertscope {

/// Draws what edits do to one cell. Every mark differs in shape, not in colour only: mask is a cross, zero a
/// struck ring, drop a dashed cross; a boost is a plus, a suppression a minus, force a padlock.
void paint_cell_marks(QPainter& painter, const QRectF& rect, const CellMarks& marks);

/// An arrow from the middle of one cell to another of the same layer, bent upwards when they are far apart.
void paint_reroute_arrow(QPainter& painter, const QRectF& from, const QRectF& to);

}  // namespace expertscope
