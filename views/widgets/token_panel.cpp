// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/token_panel.h"

#include <QHeaderView>
#include <QLabel>
#include <QTableView>
#include <QVBoxLayout>
#include <cmath>

#include "views/models/numbers.h"
#include "views/models/subject.h"
#include "views/models/token_text.h"
#include "views/widgets/table_look.h"

namespace expertscope {

TokenPanel::TokenPanel(Subject& subject, QWidget* parent)
    : QWidget(parent), subject_(subject), title_(new QLabel), table_(new QTableView) {
  title_->setObjectName(QStringLiteral("token_title"));
  title_->setWordWrap(true);
  title_->setMargin(10);
  table_->setObjectName(QStringLiteral("token_slots"));
  table_->setAccessibleName(tr("Experts of the selected token"));
  table_->setModel(&slots_);
  look_like_a_table(*table_);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(title_);
  layout->addWidget(table_, 1);
  connect(table_, &QTableView::clicked, this, [this](const QModelIndex& index) {
    const Cell cell = slots_.cell_of(index.row());
    if (cell.valid()) subject_.selection().set_cell(cell);
  });
  connect(&subject.trace(), &TraceSource::view_changed, this, &TokenPanel::update_token);
  connect(&subject.trace(), &TraceSource::closed, this, &TokenPanel::update_token);
  connect(&subject.selection(), &Selection::token_changed, this, &TokenPanel::update_token);
  update_token();
}

void TokenPanel::update_token() {
  const auto view = subject_.view();
  const std::int64_t wanted = subject_.selection().token();
  std::shared_ptr<const TokenDetail> detail;
  if (view && view->token && view->token->token.index == wanted) detail = view->token;
  table_->setVisible(detail != nullptr);
  setWindowTitle(wanted >= 0 ? tr("Token %1").arg(wanted) : QString());
  slots_.set_detail(detail);
  title_->setForegroundRole(detail ? QPalette::WindowText : QPalette::PlaceholderText);
  if (!detail) {
    title_->setAlignment(Qt::AlignTop);
    title_->setText(tr("Click a token in the strip to see its experts in every layer."));
    return;
  }
  const TokenRow& token = detail->token;
  QString text = tr("<b>%1</b>&nbsp;&nbsp;token %2, id %3")
                     .arg(visible_token_text(token.bytes).toHtmlEscaped(), QString::number(token.index),
                          QString::number(token.id));
  if (token.log_prob) {
    text += tr("<br>probability %1 (%2 nats)")
                .arg(percent_text(std::exp(*token.log_prob)), number_text(*token.log_prob));
  }
  title_->setText(text);
}

}  // namespace expertscope
