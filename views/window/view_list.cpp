// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/view_list.h"

#include <QCoreApplication>
#include <type_traits>

#include "views/widgets/compare_view.h"
#include "views/widgets/domains_view.h"
#include "views/widgets/edits_panel.h"
#include "views/widgets/expert_page.h"
#include "views/widgets/generation_panel.h"
#include "views/widgets/heatmap_panel.h"
#include "views/widgets/layers_view.h"
#include "views/widgets/outlier_chart.h"
#include "views/widgets/runs_panel.h"
#include "views/widgets/table_panel.h"
#include "views/widgets/token_panel.h"
#include "views/widgets/view_context.h"

namespace expertscope {
namespace {

/// A view that only observes is made with the subject, one that offers or carries out commands with all.
template <class View>
QWidget* make(ViewContext& context) {
  if constexpr (std::is_constructible_v<View, ViewContext&>) {
    return new View(context);
  } else {
    return new View(context.subject);
  }
}

constexpr ViewRow kViews[] = {
    {"map", QT_TRANSLATE_NOOP("View", "Routing map"), ViewArea::main, "Ctrl+M", make<HeatmapPanel>},
    {"table", QT_TRANSLATE_NOOP("View", "Table"), ViewArea::main, "Ctrl+T", make<TablePanel>},
    {"domains", QT_TRANSLATE_NOOP("View", "Domains"), ViewArea::main, "Ctrl+Shift+D", make<DomainsView>},
    {"outliers", QT_TRANSLATE_NOOP("View", "Outliers"), ViewArea::main, "Ctrl+U", make<OutlierChart>},
    {"compare", QT_TRANSLATE_NOOP("View", "Compare"), ViewArea::main, "Ctrl+Shift+K", make<CompareView>},
    {"runs", QT_TRANSLATE_NOOP("View", "Runs"), ViewArea::column, "Ctrl+R", make<RunsPanel>},
    {"edits", QT_TRANSLATE_NOOP("View", "Edits"), ViewArea::column, "Ctrl+Shift+E", make<EditsPanel>},
    {"layers", QT_TRANSLATE_NOOP("View", "Layers"), ViewArea::column, "Ctrl+Shift+L", make<LayersView>},
    {"expert", QT_TRANSLATE_NOOP("View", "Expert"), ViewArea::details, "Ctrl+I", make<ExpertPage>},
    {"token", QT_TRANSLATE_NOOP("View", "Token"), ViewArea::details, "Ctrl+Shift+I", make<TokenPanel>},
    {"text", QT_TRANSLATE_NOOP("View", "Text"), ViewArea::text, "", make<GenerationPanel>},
};

constexpr Preset kPresets[] = {
    {"explore", QT_TRANSLATE_NOOP("View", "Explore"), "Alt+1", {}},
    {"outliers", QT_TRANSLATE_NOOP("View", "Outliers"), "Alt+2", {"outliers", "table", "map"}},
    {"compare", QT_TRANSLATE_NOOP("View", "Compare"), "Alt+3", {"compare", "table", "outliers"}},
};

}  // namespace

std::span<const ViewRow> view_rows() {
  return kViews;
}

std::span<const Preset> presets() {
  return kPresets;
}

}  // namespace expertscope
