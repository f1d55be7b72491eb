// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QList>
#include <QString>
#include <QWidget>

class QStackedWidget;
class QTabBar;

namespace expertscope {

/// Views one behind the other under a bar of tabs, of which an arrangement shows some.
class ViewTabs final : public QWidget {
  Q_OBJECT
 public:
  explicit ViewTabs(QWidget* parent = nullptr);

  /// Takes the view over; it has a tab once show_tabs() names it.
  void add(const QString& id, const QString& title, QWidget* view);
  /// The tabs there are, from the left; the first comes to the front.
  void show_tabs(const QStringList& ids);
  /// False when the view has no tab now.
  bool raise(const QString& id);
  /// Id of the view in front.
  QString current() const;
  QWidget* view(const QString& id) const;

 private:
  struct Page {
    QString id;
    QString title;
    QWidget* view;
  };
  const Page* find(const QString& id) const;

  QList<Page> pages_;
  QTabBar* bar_;
  QStackedWidget* stack_;
};

}  // namespace expertscope
