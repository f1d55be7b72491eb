// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/expert_actions.h"

#include <QInputDialog>
#include <QMenu>
#include <QWidget>

#include "views/models/subject.h"

namespace expertscope {
namespace {

constexpr float kBiasStep = 2.0f;  // logits of one boost
constexpr int kMenuTargets = 32;   // more experts than this do not fit into a menu

}  // namespace

ExpertActions::ExpertActions(Subject& subject, QWidget* window)
    : QObject(window), subject_(subject), window_(window) {
  make_prune_actions();
  reroute_ = make(QStringLiteral("reroute"), tr("&Reroute to…"),
                  tr("Pick on the map the expert that runs instead"), QKeySequence(tr("Ctrl+Shift+R")));
  boost_ = make(QStringLiteral("boost"), tr("&Boost (+%1)").arg(kBiasStep),
                tr("Add %1 to the expert's router logit").arg(kBiasStep), QKeySequence(tr("Ctrl++")));
  suppress_ =
      make(QStringLiteral("suppress"), tr("&Suppress (−%1)").arg(kBiasStep),
           tr("Subtract %1 from the expert's router logit").arg(kBiasStep), QKeySequence(tr("Ctrl+-")));
  other_bias_ = make(QStringLiteral("other_bias"), tr("&Other logit…"),
                     tr("Add any number to the expert's router logit"), {});
  force_ =
      make(QStringLiteral("force"), tr("&Force"),
           tr("Always select the expert; its weight stays the router's"), QKeySequence(tr("Ctrl+Shift+F")));
  remove_ = make(QStringLiteral("remove_edits"), tr("Remove edits of this expert"),
                 tr("Give the expert back its own routing"), QKeySequence(tr("Ctrl+Backspace")));
  connect_actions();
  connect(&subject.selection(), &Selection::cell_changed, this, &ExpertActions::update_state);
  connect(&subject, &Subject::marks_changed, this, &ExpertActions::update_state);
  connect(&subject, &Subject::content_changed, this, &ExpertActions::update_state);
  update_state();
}

QAction* ExpertActions::make(const QString& name, const QString& text, const QString& tip,
                             const QKeySequence& key) {
  auto* action = new QAction(text, this);
  action->setObjectName(name);
  action->setStatusTip(tip);
  action->setToolTip(tip);
  if (!key.isEmpty()) action->setShortcut(key);
  return action;
}

void ExpertActions::make_prune_actions() {
  prune_mask_ =
      make(QStringLiteral("prune_mask"), tr("Prune: &mask (router selects again)"),
           tr("The expert leaves the pool: its router logit becomes −inf"), QKeySequence(tr("Ctrl+Delete")));
  prune_zero_ = make(QStringLiteral("prune_zero"), tr("Prune: &zero (selected, but silent)"),
                     tr("The expert is selected and weighted as before, its output is zero"),
                     QKeySequence(tr("Ctrl+Shift+Delete")));
  prune_drop_ =
      make(QStringLiteral("prune_drop"), tr("Prune: &drop (others rescaled)"),
           tr("The expert is selected and removed; the other weights are rescaled to the same sum"), {});
}

QAction* ExpertActions::prune(PruneMode mode) const {
  return mode == PruneMode::mask ? prune_mask_ : mode == PruneMode::zero ? prune_zero_ : prune_drop_;
}

QList<QAction*> ExpertActions::all() const {
  return {prune_mask_, prune_zero_, prune_drop_, reroute_, boost_, suppress_, other_bias_, force_, remove_};
}

void ExpertActions::connect_actions() {
  const auto cell = [this] { return subject_.selection().cell(); };
  for (const PruneMode mode : {PruneMode::mask, PruneMode::zero, PruneMode::drop}) {
    connect_edit(prune(mode), [this, cell, mode] {
      add({PruneEdit{cell().expert, mode}, {cell().layer}, true, {}});
    });
  }
  connect_edit(reroute_, [this] { Q_EMIT pick_wanted(); });
  connect_edit(boost_, [this] { add_bias(kBiasStep); });
  connect_edit(suppress_, [this] { add_bias(-kBiasStep); });
  connect(other_bias_, &QAction::triggered, this, &ExpertActions::ask_bias);
  connect_edit(force_, [this, cell] { add({ForceEdit{cell().expert}, {cell().layer}, true, {}}); });
  connect(remove_, &QAction::triggered, this, [this, cell] { (void)subject_.edits().remove_on(cell()); });
}

void ExpertActions::connect_edit(QAction* action, std::function<void()> edit) {
  action->setCheckable(true);
  connect(action, &QAction::triggered, this, [this, edit = std::move(edit)](bool checked) {
    if (checked) edit();
    update_state();  // a click has turned the check mark, whatever came of it
  });
}

void ExpertActions::add(const RoutingEdit& edit) {
  // A refusal is told by RoutingEdits::refused.
  (void)subject_.edits().add(edit);
}

void ExpertActions::add_bias(float logit) {
  const Cell cell = subject_.selection().cell();
  const float before = subject_.edits().marks().at(cell).bias;
  const float sum = before + logit;
  if (const int row = sum == 0 ? only_bias(cell) : -1; row >= 0) {
    // Boosting what was suppressed by as much leaves nothing.
    (void)subject_.edits().remove(row);
    return;
  }
  add({BiasEdit{cell.expert, sum}, {cell.layer}, true, {}});
}

int ExpertActions::only_bias(Cell cell) const {
  int found = -1;
  const auto& edits = subject_.edits().policy().edits;
  for (std::size_t row = 0; row < edits.size(); ++row) {
    const RoutingEdit& edit = edits[row];
    if (!edit.enabled || !std::holds_alternative<BiasEdit>(edit.action) || !edit_touches(edit, cell))
      continue;
    if (found >= 0 || edit.layers.size() != 1) return -1;
    found = static_cast<int>(row);
  }
  return found;
}

void ExpertActions::ask_bias() {
  auto* dialog = new QInputDialog(window_);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setInputMode(QInputDialog::DoubleInput);
  dialog->setWindowTitle(tr("Router logit"));
  const Cell cell = subject_.selection().cell();
  dialog->setLabelText(
      tr("Added to the router logit of expert %1 in layer %2:").arg(cell.expert).arg(cell.layer));
  dialog->setDoubleRange(-1000, 1000);
  dialog->setDoubleDecimals(2);
  dialog->setDoubleValue(subject_.edits().marks().at(cell).bias);
  connect(dialog, &QInputDialog::doubleValueSelected, this, [this, cell](double logit) {
    add({BiasEdit{cell.expert, static_cast<float>(logit)}, {cell.layer}, true, {}});
  });
  dialog->open();
}

void ExpertActions::reroute_to(int layer, int from, int to) {
  add({RerouteEdit{from, to}, {layer}, true, {}});
}

void ExpertActions::fill_menu(QMenu& menu) {
  const Cell cell = subject_.selection().cell();
  menu.setToolTipsVisible(true);
  menu.addSection(tr("Layer %1, %2").arg(QString::number(cell.layer), expert_name(cell)));
  if (cell.is_shared()) {
    menu.addAction(why_not_routed())->setEnabled(false);
    return;
  }
  if (!subject_.can_edit()) {
    menu.addAction(Subject::why_not_editable())->setEnabled(false);
    return;
  }
  QMenu* prune = menu.addMenu(tr("&Prune"));
  prune->setToolTipsVisible(true);
  prune->addActions({prune_mask_, prune_zero_, prune_drop_});
  fill_reroute_menu(*menu.addMenu(tr("&Reroute to")));
  fill_bias_menu(*menu.addMenu(tr("Router &logit")));
  menu.addAction(force_);
  menu.addSeparator();
  menu.addAction(remove_);
}

void ExpertActions::fill_reroute_menu(QMenu& menu) {
  menu.setObjectName(QStringLiteral("reroute_menu"));
  QAction* pick = menu.addAction(tr("Pick on the map…"));
  connect(pick, &QAction::triggered, this, &ExpertActions::pick_wanted);
  menu.addSeparator();
  const Cell cell = subject_.selection().cell();
  const auto table = subject_.expert_table();
  if (!table) return;
  if (table->experts > kMenuTargets) {
    QAction* number = menu.addAction(tr("Expert number…"));
    connect(number, &QAction::triggered, this, [this, cell, experts = table->experts] {
      auto* dialog = new QInputDialog(window_);
      dialog->setAttribute(Qt::WA_DeleteOnClose);
      dialog->setInputMode(QInputDialog::IntInput);
      dialog->setIntRange(0, experts - 1);
      dialog->setLabelText(
          tr("Expert that runs instead of expert %1 in layer %2:").arg(cell.expert).arg(cell.layer));
      connect(dialog, &QInputDialog::intValueSelected, this,
              [this, cell](int to) { reroute_to(cell.layer, cell.expert, to); });
      dialog->open();
    });
    return;
  }
  for (int expert = 0; expert < table->experts; ++expert) {
    if (expert == cell.expert) continue;
    QAction* action = menu.addAction(tr("Expert %1").arg(expert));
    connect(action, &QAction::triggered, this,
            [this, cell, expert] { reroute_to(cell.layer, cell.expert, expert); });
  }
}

void ExpertActions::fill_bias_menu(QMenu& menu) {
  menu.addActions({boost_, suppress_, other_bias_});
}

QString ExpertActions::why_not_routed() {
  return tr("Every token runs through a shared expert: no router chooses it, so no edit can change that");
}

void ExpertActions::update_state() {
  const Cell cell = subject_.selection().cell();
  const auto table = subject_.expert_table();
  const bool in_model = table && cell.valid() && table->has(cell.layer, cell.expert);
  const bool enabled = in_model && !cell.is_shared() && subject_.can_edit();
  for (QAction* action : all()) {
    action->setEnabled(enabled);
    // A button that can not be pressed says why.
    action->setToolTip(cell.is_shared() ? why_not_routed() : action->statusTip());
  }
  remove_->setEnabled(enabled && subject_.edits().has_edit_on(cell));
  const EditMarks all_marks = in_model ? subject_.marks() : EditMarks();
  const CellMarks& marks = all_marks.at(cell);
  for (const PruneMode mode : {PruneMode::mask, PruneMode::zero, PruneMode::drop}) {
    prune(mode)->setChecked(marks.prune == mode);
  }
  reroute_->setChecked(marks.reroute_to >= 0);
  boost_->setChecked(marks.bias > 0);
  suppress_->setChecked(marks.bias < 0);
  force_->setChecked(marks.force);
}

}  // namespace expertscope
