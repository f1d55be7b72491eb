// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/start_page.h"

#include <QAction>
#include <QCommandLinkButton>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLabel>
#include <QVBoxLayout>

#include "views/models/design.h"
#include "views/models/plain_text.h"
#include "views/models/recent_files.h"
#include "views/widgets/link_label.h"
#include "views/widgets/recording_offer.h"

namespace expertscope {
namespace {

QLabel* heading(const QString& text, double size) {
  auto* label = new QLabel(text);
  label->setFont(heading_font(label->font(), size));
  return label;
}

}  // namespace

StartPage::StartPage(RecentFiles& recent, InterruptedRecordings& interrupted, const QList<QAction*>& actions,
                     QWidget* parent)
    : QWidget(parent), files_(recent), recent_(new QVBoxLayout) {
  setObjectName(QStringLiteral("start_page"));
  auto* intro = new QLabel(tr(
      "Open a mixture-of-experts model, watch its routers decide token by token, and prune, reroute or boost "
      "experts while it runs."));
  intro->setWordWrap(true);
  auto* column = new QVBoxLayout;
  column->setSpacing(6);
  auto* offer = new RecordingOffer(interrupted);
  connect(offer, &RecordingOffer::open_wanted, this, &StartPage::open_wanted);
  column->addWidget(offer);
  column->addWidget(heading(tr("Expertscope"), 2.2));
  column->addWidget(intro);
  column->addSpacing(18);
  column->addWidget(make_actions(actions));
  column->addSpacing(18);
  column->addLayout(recent_);
  column->addSpacing(12);
  auto* hint = new QLabel(tr("A model folder, a GGUF file or a trace can also be dropped on this window."));
  hint->setForegroundRole(QPalette::PlaceholderText);
  column->addWidget(hint);
  auto* middle = new QWidget;
  middle->setLayout(column);
  middle->setFixedWidth(560);
  auto* layout = new QVBoxLayout(this);
  layout->addStretch(2);
  // Between stretches and not aligned: so it gets the height that its text needs at its own width.
  auto* row = new QHBoxLayout;
  row->addStretch(1);
  row->addWidget(middle);
  row->addStretch(1);
  layout->addLayout(row);
  layout->addStretch(3);
  fill_recent();
  connect(&recent, &RecentFiles::changed, this, &StartPage::fill_recent);
}

QWidget* StartPage::make_actions(const QList<QAction*>& actions) {
  auto* box = new QWidget;
  auto* layout = new QVBoxLayout(box);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(2);
  for (QAction* action : actions) {
    QString title = action->text();
    title.remove(QLatin1Char('&')).remove(QStringLiteral("…"));
    auto* button = new QCommandLinkButton(title, action->statusTip());
    button->setObjectName(QStringLiteral("start_") + action->objectName());
    button->setEnabled(action->isEnabled());
    // Styles without native links measure the title alone.
    button->setMinimumHeight(button->fontMetrics().height() * 3 + 6);
    connect(button, &QCommandLinkButton::clicked, action, &QAction::trigger);
    layout->addWidget(button);
  }
  return box;
}

void StartPage::fill_recent() {
  while (QLayoutItem* item = recent_->takeAt(0)) {
    if (item->widget() != nullptr) item->widget()->deleteLater();
    delete item;
  }
  const QStringList& paths = files_.paths();
  if (paths.isEmpty()) return;
  recent_->addWidget(heading(tr("Recent"), 1.15));
  for (const QString& path : paths) {
    const QString folder = QFileInfo(path).path();
    auto* link = new LinkLabel(
        QStringLiteral("<a href='open'>%1</a>&nbsp;&nbsp;<small>%2</small>")
            .arg(visible(QFileInfo(path).fileName()).toHtmlEscaped(), visible(folder).toHtmlEscaped()));
    link->setTextInteractionFlags(Qt::LinksAccessibleByKeyboard | Qt::LinksAccessibleByMouse);
    link->setTextFormat(Qt::RichText);
    link->setToolTip(plain_tooltip(path));
    connect(link, &QLabel::linkActivated, this, [this, path] { Q_EMIT open_wanted(path); });
    recent_->addWidget(link);
  }
}

}  // namespace expertscope
