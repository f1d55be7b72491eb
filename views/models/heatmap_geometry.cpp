// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/heatmap_geometry.h"

#include <algorithm>
#include <cmath>

namespace expertscope {
namespace {

// The closest zoom: this many cells across and down.
constexpr double kFewestExperts = 4;
constexpr double kFewestLayers = 2;
// A column of shared experts takes the place of one expert, or of this part of them.
constexpr int kPartOfExperts = 64;

}  // namespace

void HeatmapGeometry::set_grid(int layers, int experts, bool shared) {
  if (layers == layers_ && experts == experts_ && shared == has_shared()) return;
  layers_ = layers;
  experts_ = experts;
  shared_ = shared ? std::max(1, experts / kPartOfExperts) : 0;
  gap_ = (shared_ + 1) / 2;
  fit_plot();
  fit();
}

void HeatmapGeometry::set_plot(const QRectF& room, double device_pixels) {
  room_ = room;
  device_pixels_ = device_pixels;
  fit_plot();
}

/// All of the grid fills the plot: a fitted map has cells of one size.
void HeatmapGeometry::fit_plot() {
  plot_ = room_;
  const auto whole = [this](double pixels, int cells) {
    const double each = cells > 0 ? std::floor(pixels * device_pixels_ / cells) : 0;
    return each >= 1 ? each * cells / device_pixels_ : pixels;
  };
  plot_.setWidth(whole(room_.width(), columns()));
  plot_.setHeight(whole(room_.height(), layers_));
}

double HeatmapGeometry::snap(double pixels) const {
  return std::round(pixels * device_pixels_) / device_pixels_;
}

bool HeatmapGeometry::is_fit() const {
  return view_ == QRectF(0, 0, columns(), layers_);
}

std::optional<Cell> HeatmapGeometry::cell_at(const QPointF& pixel) const {
  if (view_.isEmpty() || plot_.isEmpty()) return std::nullopt;
  const double across = (pixel.x() - plot_.left()) / plot_.width();
  const double down = (pixel.y() - plot_.top()) / plot_.height();
  if (across < 0 || across >= 1 || down < 0 || down >= 1) return std::nullopt;
  const int layer = static_cast<int>(std::floor(view_.top() + down * view_.height()));
  const int column = static_cast<int>(std::floor(view_.left() + across * view_.width()));
  if (layer >= layers_ || column >= columns()) return std::nullopt;
  if (column < shared_) return Cell{layer, kSharedExpert};
  if (column < first_column()) return std::nullopt;
  return Cell{layer, column - first_column()};
}

QRectF HeatmapGeometry::rect_of(Cell cell) const {
  if (view_.isEmpty()) return {};
  const int first = cell.is_shared() ? 0 : first_column() + cell.expert;
  const int wide = cell.is_shared() ? shared_ : 1;
  const auto x = [this](int column) { return snap(plot_.left() + (column - view_.left()) * cell_width()); };
  const auto y = [this](int layer) { return snap(plot_.top() + (layer - view_.top()) * cell_height()); };
  return {QPointF(x(first), y(cell.layer)), QPointF(x(first + wide), y(cell.layer + 1))};
}

void HeatmapGeometry::fit() {
  view_ = QRectF(0, 0, columns(), layers_);
}

void HeatmapGeometry::zoom(double factor, const QPointF& pixel) {
  if (view_.isEmpty() || plot_.isEmpty() || !(factor > 0)) return;
  const double across = std::clamp((pixel.x() - plot_.left()) / plot_.width(), 0.0, 1.0);
  const double down = std::clamp((pixel.y() - plot_.top()) / plot_.height(), 0.0, 1.0);
  const QPointF fixed(view_.left() + across * view_.width(), view_.top() + down * view_.height());
  const double width = std::clamp(view_.width() / factor, std::min<double>(kFewestExperts, columns()),
                                  static_cast<double>(columns()));
  const double height = std::clamp(view_.height() / factor, std::min<double>(kFewestLayers, layers_),
                                   static_cast<double>(layers_));
  view_ = QRectF(fixed.x() - across * width, fixed.y() - down * height, width, height);
  clamp();
}

void HeatmapGeometry::pan(const QPointF& pixels) {
  if (view_.isEmpty() || plot_.isEmpty()) return;
  view_.translate(-pixels.x() / cell_width(), -pixels.y() / cell_height());
  clamp();
}

void HeatmapGeometry::zoom_to(const QRectF& pixels) {
  if (view_.isEmpty() || plot_.isEmpty()) return;
  const QRectF inside = pixels.normalized().intersected(plot_);
  if (inside.isEmpty()) return;
  const double left = std::floor(view_.left() + (inside.left() - plot_.left()) / cell_width());
  const double right = std::ceil(view_.left() + (inside.right() - plot_.left()) / cell_width());
  const double top = std::floor(view_.top() + (inside.top() - plot_.top()) / cell_height());
  const double bottom = std::ceil(view_.top() + (inside.bottom() - plot_.top()) / cell_height());
  view_ = QRectF(left, top, std::max(right - left, std::min<double>(kFewestExperts, columns())),
                 std::max(bottom - top, std::min<double>(kFewestLayers, layers_)));
  clamp();
}

void HeatmapGeometry::ensure_visible(Cell cell) {
  if (!cell.valid() || view_.isEmpty()) return;
  const int first = cell.is_shared() ? 0 : first_column() + cell.expert;
  if (first + 1 > view_.right()) view_.moveRight(first + 1);
  if (first < view_.left()) view_.moveLeft(first);
  if (cell.layer < view_.top()) view_.moveTop(cell.layer);
  if (cell.layer + 1 > view_.bottom()) view_.moveBottom(cell.layer + 1);
  clamp();
}

void HeatmapGeometry::clamp() {
  const double width = std::min<double>(view_.width(), columns());
  const double height = std::min<double>(view_.height(), layers_);
  view_ = QRectF(std::clamp(view_.left(), 0.0, columns() - width),
                 std::clamp(view_.top(), 0.0, layers_ - height), width, height);
}

}  // namespace expertscope
