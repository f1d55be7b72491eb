// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/strings_view.h"

#include <QHeaderView>
#include <QLabel>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

#include "views/models/numbers.h"
#include "views/models/plain_text.h"
#include "views/models/subject.h"
#include "views/models/token_text.h"
#include "views/widgets/link_label.h"
#include "views/widgets/table_look.h"

namespace expertscope {
namespace {

constexpr std::int64_t kStrings = 200;
constexpr int kHidden = 3;    // columns: layer and expert are the selected ones, an id says nothing
constexpr int kContext = 28;  // characters beside an example

}  // namespace

StringsView::StringsView(Subject& subject)
    : subject_(subject), source_(subject), table_(new QTableView), examples_(new LinkLabel) {
  table_->setObjectName(QStringLiteral("strings"));
  table_->setAccessibleName(tr("Strings of the selected expert"));
  table_->setModel(&strings_);
  look_like_a_table(*table_);
  examples_->setObjectName(QStringLiteral("string_examples"));
  examples_->setTextFormat(Qt::RichText);
  examples_->setWordWrap(true);
  examples_->setMargin(8);
  examples_->setAlignment(Qt::AlignTop | Qt::AlignLeft);
  examples_->setTextInteractionFlags(Qt::TextBrowserInteraction);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(table_, 3);
  layout->addWidget(examples_, 1);
  connect(&source_, &AnalysisSource::changed, this, &StringsView::update_tables);
  connect(table_->selectionModel(), &QItemSelectionModel::currentRowChanged, this,
          &StringsView::show_examples);
  connect(examples_, &QLabel::linkActivated, this,
          [this](const QString& token) { subject_.selection().set_token(token.toLongLong()); });
  connect(&subject.selection(), &Selection::cell_changed, this, [this] {
    update_title();
    if (isVisible()) ask();
  });
  connect(&subject.trace(), &TraceSource::view_changed, this, &StringsView::update_title);
  connect(&subject.trace(), &TraceSource::closed, this, &StringsView::update_title);
  update_title();
}

void StringsView::update_title() {
  const Cell cell = subject_.selection().cell();
  const auto view = subject_.view();
  const bool any = cell.valid() && !cell.is_shared() && view && view->run && view->run->table.tokens > 0;
  setWindowTitle(any ? tr("Strings") : QString());
}

void StringsView::ask() {
  const Cell cell = subject_.selection().cell();
  if (!cell.valid() || cell.is_shared()) {
    source_.rest();
    return;
  }
  source_.ask(
      "strings",
      {{"layer", std::int64_t{cell.layer}}, {"expert", std::int64_t{cell.expert}}, {"most", kStrings}});
}

void StringsView::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  ask();
}

void StringsView::hideEvent(QHideEvent* event) {
  QWidget::hideEvent(event);
  source_.rest();
}

void StringsView::update_tables() {
  const auto result = source_.result();
  strings_.set_table(result, result ? result->find("strings") : nullptr);
  for (int column = 0; column < std::min(kHidden, strings_.columnCount()); ++column) {
    table_->hideColumn(column);
  }
  if (!table_->currentIndex().isValid() && strings_.rowCount() > 0) table_->selectRow(0);
  show_examples();
}

void StringsView::show_examples() {
  const auto result = source_.result();
  const Table* table = result ? result->find("examples") : nullptr;
  const int row = table_->currentIndex().row();
  if (table == nullptr || strings_.table() == nullptr || row < 0) {
    examples_->setText(source_.problem().toHtmlEscaped());
    return;
  }
  const std::int64_t id = strings_.table()->find("token_id")->integer(static_cast<std::size_t>(row));
  QString rows;
  for (std::size_t at = 0; at < table->rows(); ++at) {
    if (table->find("token_id")->integer(at) != id) continue;
    const QString text =
        QStringLiteral("%1<a href='%2'><b>%3</b></a>%4")
            .arg(running_text(table->find("before")->text(at)).right(kContext).toHtmlEscaped(),
                 QString::number(table->find("at_token")->integer(at)),
                 visible_token_text(table->find("token")->text(at)).toHtmlEscaped(),
                 running_text(table->find("after")->text(at)).left(kContext).toHtmlEscaped());
    rows += QStringLiteral("<tr><td>%1&nbsp;&nbsp;</td><td align='right'>%2&nbsp;&nbsp;</td><td>%3</td></tr>")
                .arg(visible(table->find("domain")->text(at)).toHtmlEscaped(),
                     number_text(table->find("weight")->number(at)), text);
  }
  examples_->setText(QStringLiteral("<table cellspacing='2'>%1</table>").arg(rows));
}

}  // namespace expertscope
