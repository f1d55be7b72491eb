// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace expertscope::report {

/// ColourMap::viridis at t in [0, 1], as #rrggbb.
std::string viridis(double t);
/// ColourMap::diverging at t in [-1, 1].
std::string diverging(double t);

struct Point {
  double x = 0;
  double y = 0;
};
struct Box {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;
};

/// An inline SVG picture under construction. Colours come from CSS classes, so that it follows the page's
/// light or dark scheme; class names are ours, text is escaped here.
class Svg {
 public:
  /// `label` says what the picture shows to those who cannot see it.
  Svg(double width, double height, std::string_view label);

  void rect(const Box& box, std::string_view css_class, std::string_view title = {});
  /// A cell with its own fill colour.
  void cell(const Box& box, const std::string& fill, std::string_view title);
  void line(Point from, Point to, std::string_view css_class);
  void circle(Point centre, double radius, std::string_view css_class, std::string_view title = {});
  void polyline(const std::vector<Point>& points, std::string_view css_class);
  void polygon(const std::vector<Point>& points, std::string_view css_class);
  /// `anchor`: start, middle or end.
  void text(Point at, std::string_view text, std::string_view anchor = "start",
            std::string_view css_class = "label");
  void vertical_text(Point at, std::string_view text);

  std::string finish();

 private:
  std::string body_;
};

}  // namespace expertscope::report
