// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/view_tabs.h"

#include <QSignalBlocker>
#include <QStackedWidget>
#include <QTabBar>
#include <QVBoxLayout>
#include <algorithm>

namespace expertscope {

ViewTabs::ViewTabs(QWidget* parent) : QWidget(parent), bar_(new QTabBar), stack_(new QStackedWidget) {
  setObjectName(QStringLiteral("view_tabs"));
  bar_->setDocumentMode(true);
  bar_->setExpanding(false);
  bar_->setDrawBase(false);
  bar_->setAccessibleName(tr("Views"));
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(bar_);
  layout->addWidget(stack_, 1);
  connect(bar_, &QTabBar::currentChanged, this, [this](int tab) {
    if (QWidget* shown = view(bar_->tabData(tab).toString())) stack_->setCurrentWidget(shown);
  });
}

void ViewTabs::add(const QString& id, const QString& title, QWidget* view) {
  pages_.append({id, title, view});
  stack_->addWidget(view);
}

void ViewTabs::show_tabs(const QStringList& ids) {
  {
    const QSignalBlocker not_on_the_way(bar_);
    while (bar_->count() > 0) {
      bar_->removeTab(bar_->count() - 1);
    }
    for (const QString& id : ids) {
      if (const Page* page = find(id)) bar_->setTabData(bar_->addTab(page->title), id);
    }
  }
  if (!ids.isEmpty()) raise(ids.first());
}

bool ViewTabs::raise(const QString& id) {
  for (int tab = 0; tab < bar_->count(); ++tab) {
    if (bar_->tabData(tab).toString() != id) continue;
    bar_->setCurrentIndex(tab);
    stack_->setCurrentWidget(view(id));
    return true;
  }
  return false;
}

QString ViewTabs::current() const {
  return bar_->tabData(bar_->currentIndex()).toString();
}

QWidget* ViewTabs::view(const QString& id) const {
  const Page* page = find(id);
  return page != nullptr ? page->view : nullptr;
}

const ViewTabs::Page* ViewTabs::find(const QString& id) const {
  const auto at = std::find_if(pages_.begin(), pages_.end(), [&](const Page& page) { return page.id == id; });
  return at == pages_.end() ? nullptr : &*at;
}

}  // namespace expertscope
