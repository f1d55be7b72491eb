// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/domains_view.h"

#include <QComboBox>
#include <QLabel>
#include <QMenu>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/models/table_map.h"
#include "views/widgets/expert_actions.h"
#include "views/widgets/view_bar.h"
#include "views/widgets/view_context.h"

namespace expertscope {

DomainsView::DomainsView(ViewContext& context)
    : context_(context),
      subject_(context.subject),
      source_(context.subject),
      map_(new HeatmapView),
      domain_(new QComboBox),
      against_(new QComboBox),
      size_(new QLabel) {
  map_->setAccessibleName(tr("Load of a domain, layers by experts"));
  map_->set_logarithmic(true);
  source_.count_all_domains();
  map_->set_tooltip([this](Cell cell) { return tooltip(cell); });
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(make_bar());
  layout->addWidget(map_, 1);
  Selection& selection = subject_.selection();
  connect(&source_, &AnalysisSource::changed, this, &DomainsView::update_domains);
  connect(domain_, &QComboBox::currentIndexChanged, this, &DomainsView::update_map);
  connect(against_, &QComboBox::currentIndexChanged, this, &DomainsView::update_map);
  connect(map_, &HeatmapView::cell_selected, &selection, &Selection::set_cell);
  connect(map_, &HeatmapView::cell_opened, &context_.experts, &ExpertActions::open_page);
  connect(&selection, &Selection::cell_changed, map_, &HeatmapView::set_selected);
  connect(&subject_, &Subject::marks_changed, map_, [this] { map_->set_marks(subject_.marks()); });
  connect(&subject_.trace(), &TraceSource::view_changed, this, &DomainsView::mark_super_experts);
  connect(map_, &HeatmapView::menu_requested, this, [this](Cell, const QPoint& global) {
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    context_.experts.fill_menu(*menu);
    menu->popup(global);
  });
  update_domains();
}

QWidget* DomainsView::make_bar() {
  domain_->setObjectName(QStringLiteral("domain"));
  domain_->setAccessibleName(tr("Domain"));
  domain_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  against_->setObjectName(QStringLiteral("domain_against"));
  against_->setAccessibleName(tr("What is shown of the domain"));
  against_->addItem(tr("against all other domains"), true);
  against_->addItem(tr("share"), false);
  size_->setForegroundRole(QPalette::PlaceholderText);
  auto* bar = new ViewBar;
  bar->add(domain_);
  bar->add(against_);
  bar->add_separator();
  bar->add(size_);
  bar->add_stretch();
  return bar;
}

void DomainsView::mark_super_experts() {
  const auto view = subject_.view();
  map_->set_super_cells(view && view->run ? super_cells(*view->run) : std::vector<Cell>());
}

void DomainsView::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  map_->set_marks(subject_.marks());
  mark_super_experts();
  map_->set_selected(subject_.selection().cell());
  source_.ask("domains");
}

void DomainsView::hideEvent(QHideEvent* event) {
  QWidget::hideEvent(event);
  source_.rest();
}

void DomainsView::update_domains() {
  const auto result = source_.result();
  const Table* table = result ? result->find("domains") : nullptr;
  QStringList names;
  for (std::size_t row = 0; table != nullptr && row < table->rows(); ++row) {
    names << QString::fromStdString(table->find("domain")->text(row));
  }
  QStringList shown;
  for (int i = 0; i < domain_->count(); ++i) {
    shown << domain_->itemData(i).toString();
  }
  if (shown != names) {
    const QSignalBlocker once(domain_);
    const QString chosen = domain_->currentData().toString();
    domain_->clear();
    for (const QString& name : names) {
      domain_->addItem(visible(name), name);
    }
    domain_->setCurrentIndex(std::max(0, domain_->findData(chosen)));
  }
  for (QWidget* control : {static_cast<QWidget*>(domain_), static_cast<QWidget*>(against_)}) {
    control->setVisible(!names.isEmpty());
  }
  update_map();
}

void DomainsView::update_map() {
  const auto result = source_.result();
  const Table* table = result ? result->find("experts") : nullptr;
  const auto shape = subject_.expert_table();
  map_->set_hint(hint());
  size_->clear();
  if (table == nullptr || !shape) {
    map_->set_data(nullptr);
    return;
  }
  const bool difference = against_->currentData().toBool();
  const std::string domain = domain_->currentData().toString().toStdString();
  const Column& column = *table->find(difference ? "against_others" : "share");
  map_->set_data(
      std::make_shared<const HeatmapData>(map_of(*table, column.info(), *shape, difference, domain)));
  const Table* domains = result->find("domains");
  const auto row = static_cast<std::size_t>(std::max(0, domain_->currentIndex()));
  if (row < domains->rows()) {
    size_->setText(tr("%1 tokens, %2 sequences")
                       .arg(count_text(domains->find("tokens")->integer(row)),
                            count_text(domains->find("sequences")->integer(row))));
  }
}

QString DomainsView::hint() const {
  const auto view = subject_.view();
  if (!view || !view->run || view->run->domains.size() < 2) {
    return tr(
        "This view holds domains against each other. Its run has to be over texts of at least two: "
        "\"expertscope-cli profile\" records one from a JSONL file with a field \"domain\".");
  }
  return source_.problem().isEmpty() ? tr("Counting the load of every domain…") : source_.problem();
}

QString DomainsView::tooltip(Cell cell) const {
  const auto result = source_.result();
  const Table* table = result ? result->find("experts") : nullptr;
  if (table == nullptr || !map_->scene().data || !map_->scene().data->contains(cell)) return {};
  QString rows;
  for (std::size_t row = 0; row < table->rows(); ++row) {
    if (table->find("layer")->integer(row) != cell.layer ||
        table->find("expert")->integer(row) != cell.expert)
      continue;
    const bool chosen = table->find("domain")->text(row) == domain_->currentData().toString().toStdString();
    const QString name = visible(table->find("domain")->text(row)).toHtmlEscaped();
    rows += QStringLiteral(
                "<tr><td>%1&nbsp;&nbsp;</td><td align='right'>%2&nbsp;&nbsp;</td>"
                "<td align='right'>%3</td></tr>")
                .arg(chosen ? QStringLiteral("<b>%1</b>").arg(name) : name,
                     percent_text(table->find("share")->number(row)),
                     change_of_share_text(table->find("against_others")->number(row)));
  }
  return QStringLiteral("<b>%1</b><table>%2</table>")
      .arg(tr("layer %1, %2: load by domain, and against all others")
               .arg(QString::number(cell.layer), expert_name(cell)),
           rows);
}

}  // namespace expertscope
