// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <span>

class QWidget;

namespace expertscope {

struct ViewContext;

/// Where a view stands.
enum class ViewArea : std::uint8_t {
  main,     ///< a tab over the map's place
  column,   ///< a tab of the side column
  details,  ///< below these: about what is selected, which brings it to the front; gone while its window
            ///< title is empty
  text,     ///< along the lower edge
};

/// A view: the window makes it, places it, lists it in its menus and on the sheet of shortcuts.
struct ViewRow {
  const char* id;        ///< stable: layouts are stored under it
  const char* title;     ///< of its tab; the view's own window title replaces it while it has one
  ViewArea area;         ///< where it stands
  const char* shortcut;  ///< brings it to the front; may be empty
  QWidget* (*make)(ViewContext& context);
};

/// Every view, in the order of tabs and menus. A new view is a pair of files and a line here.
std::span<const ViewRow> view_rows();

/// An arrangement for one kind of work: which views have tabs over the map.
struct Preset {
  const char* id;
  const char* title;
  const char* shortcut;
  /// Ids, the one in front first; null: every view that is in front of no other preset.
  std::array<const char*, 4> views;
};

std::span<const Preset> presets();

}  // namespace expertscope
