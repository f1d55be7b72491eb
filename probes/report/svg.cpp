// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "probes/report/colour_scale.h"
#include "probes/report/html.h"

namespace expertscope::report {
namespace {

/// The colour at t in [0, 1].
std::string hex(ColourMap map, double t) {
  const double inside = std::isfinite(t) ? std::clamp(t, 0.0, 1.0) : 0.0;
  const std::uint32_t colour = colour_table(map)[std::lround(inside * 255)];
  return fmt::format("#{:06x}", colour & 0xffffffu);
}

std::string coordinates(const std::vector<Point>& points) {
  std::string out;
  for (const Point& point : points)
    fmt::format_to(std::back_inserter(out), "{:.1f},{:.1f} ", point.x, point.y);
  if (!out.empty()) out.pop_back();
  return out;
}

// Closes an element, with a tooltip inside where there is one.
std::string close(std::string_view element, std::string_view title) {
  if (title.empty()) return "/>\n";
  return fmt::format("><title>{}</title></{}>\n", escape(title), element);
}

}  // namespace

std::string viridis(double t) {
  return hex(ColourMap::viridis, t);
}

std::string diverging(double t) {
  return hex(ColourMap::diverging, std::isfinite(t) ? (t + 1) / 2 : 0.5);
}

Svg::Svg(double width, double height, std::string_view label) {
  body_ = fmt::format(
      "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {:.0f} {:.0f}\" font-family=\"sans-serif\" "
      "style=\"max-width:{:.0f}px\">\n",
      escape(label), width, height, width);
}

void Svg::rect(const Box& box, std::string_view css_class, std::string_view title) {
  body_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"{}\"",
                       box.x, box.y, box.width, box.height, css_class);
  body_ += close("rect", title);
}

void Svg::cell(const Box& box, const std::string& fill, std::string_view title) {
  body_ += fmt::format("<path d=\"M{:.1f} {:.1f}h{:.1f}v{:.1f}h-{:.1f}z\" fill=\"{}\"", box.x, box.y,
                       box.width, box.height, box.width, fill);
  body_ += close("path", title);
}

void Svg::line(Point from, Point to, std::string_view css_class) {
  body_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n",
                       from.x, from.y, to.x, to.y, css_class);
}

void Svg::circle(Point centre, double radius, std::string_view css_class, std::string_view title) {
  body_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"{}\"", centre.x, centre.y,
                       radius, css_class);
  body_ += close("circle", title);
}

void Svg::polyline(const std::vector<Point>& points, std::string_view css_class) {
  body_ += fmt::format("<polyline points=\"{}\" class=\"{}\"/>\n", coordinates(points), css_class);
}

void Svg::polygon(const std::vector<Point>& points, std::string_view css_class) {
  body_ += fmt::format("<polygon points=\"{}\" class=\"{}\"/>\n", coordinates(points), css_class);
}

void Svg::text(Point at, std::string_view text, std::string_view anchor, std::string_view css_class) {
  body_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", at.x,
                       at.y, anchor, css_class, escape(text));
}

void Svg::vertical_text(Point at, std::string_view text) {
  body_ += fmt::format(
      "<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\" text-anchor=\"middle\" "
      "class=\"label\">{}</text>\n",
      at.x, at.y, escape(text));
}

std::string Svg::finish() {
  return body_ + "</svg>\n";
}

}  // namespace expertscope::report
