// SPDX-License-Identifier: GPL-3.0-or-later
#include "probes/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "probes/report/html.h"

namespace expertscope::report {
namespace {

struct Rgb {
  double r, g, b;
};

std::string hex(const Rgb& colour) {
  const auto byte = [](double value) { return static_cast<int>(std::lround(std::clamp(value, 0.0, 255.0))); };
  return fmt::format("#{:02x}{:02x}{:02x}", byte(colour.r), byte(colour.g), byte(colour.b));
}

Rgb mix(const Rgb& a, const Rgb& b, double t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
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
  static constexpr std::array<Rgb, 11> stops = {{{68, 1, 84},
                                                 {72, 36, 117},
                                                 {65, 68, 135},
                                                 {53, 95, 141},
                                                 {42, 120, 142},
                                                 {33, 145, 140},
                                                 {34, 168, 132},
                                                 {68, 191, 112},
                                                 {122, 209, 81},
                                                 {189, 223, 38},
                                                 {253, 231, 37}}};
  const double position = (std::isfinite(t) ? std::clamp(t, 0.0, 1.0) : 0.0) * (stops.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(position), stops.size() - 2);
  return hex(mix(stops[below], stops[below + 1], position - static_cast<double>(below)));
}

std::string diverging(double t) {
  const double clamped = std::isfinite(t) ? std::clamp(t, -1.0, 1.0) : 0.0;
  constexpr Rgb blue{8, 81, 156};
  constexpr Rgb grey{240, 240, 240};
  constexpr Rgb orange{204, 76, 2};
  return hex(mix(grey, clamped < 0 ? blue : orange, std::abs(clamped)));
}

std::vector<double> linear_ticks(double low, double high, int count) {
  if (!(high > low) || count < 1) return {low};
  const double raw = (high - low) / count;
  const double magnitude = std::pow(10.0, std::floor(std::log10(raw)));
  const double scaled = raw / magnitude;
  const double step = magnitude * (scaled <= 1 ? 1 : scaled <= 2 ? 2 : scaled <= 5 ? 5 : 10);
  std::vector<double> ticks;
  const double slack = step * 1e-9;
  for (double i = std::ceil((low - slack) / step); i * step <= high + slack; ++i) {
    ticks.push_back(i * step + 0.0);  // no negative zero
  }
  return ticks;
}

std::vector<double> log_ticks(double low, double high, int count) {
  const int first = static_cast<int>(std::ceil(std::log10(low) - 1e-9));
  const int last = static_cast<int>(std::floor(std::log10(high) + 1e-9));
  const int step = std::max(1, (last - first + count) / std::max(count, 1));
  std::vector<double> ticks;
  for (int exponent = first; exponent <= last; exponent += step)
    ticks.push_back(std::pow(10.0, exponent));
  return ticks;
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
