// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/window/shortcut_sheet.h"

#include <QAction>
#include <QDialogButtonBox>
#include <QMenu>
#include <QMenuBar>
#include <QTextBrowser>
#include <QVBoxLayout>

#include "views/widgets/commands.h"

namespace expertscope {
namespace {

QString plain(QString text) {
  return text.remove(QLatin1Char('&')).remove(QStringLiteral("…"));
}

QString row(const QString& keys, const QString& what) {
  return QStringLiteral("<tr><td style='padding:1px 18px 1px 0'><b>%1</b></td><td>%2</td></tr>")
      .arg(keys.toHtmlEscaped(), what.toHtmlEscaped());
}

void add_actions(const QList<QAction*>& actions, QString& rows) {
  for (const QAction* action : actions) {
    if (action->menu() != nullptr) {
      add_actions(action->menu()->actions(), rows);
    } else if (!action->shortcut().isEmpty()) {
      // Of an action whose text says what it would do at the moment, the command.
      const QVariant command = action->property(kCommandProperty);
      rows += row(action->shortcut().toString(QKeySequence::NativeText),
                  plain(command.isValid() ? command.toString() : action->text()));
    }
  }
}

QString section(const QString& title, const QString& rows) {
  return rows.isEmpty() ? QString()
                        : QStringLiteral("<h3>%1</h3><table>%2</table>").arg(title.toHtmlEscaped(), rows);
}

}  // namespace

ShortcutSheet::ShortcutSheet(const QMenuBar& menus, QWidget* parent) : QDialog(parent) {
  setObjectName(QStringLiteral("shortcut_sheet"));
  setWindowTitle(tr("Keyboard and mouse"));
  setAttribute(Qt::WA_DeleteOnClose);
  auto* browser = new QTextBrowser;
  browser->setFrameShape(QFrame::NoFrame);
  browser->setHtml(text(menus));
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
  connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::close);
  auto* layout = new QVBoxLayout(this);
  layout->addWidget(browser);
  layout->addWidget(buttons);
  resize(520, 640);
}

QString ShortcutSheet::text(const QMenuBar& menus) {
  QString map;
  map += row(tr("Arrows, W A S D"), tr("select the next expert or layer"));
  map += row(tr("Menu key, right click"), tr("what can be done to the expert"));
  map += row(tr("Ctrl+wheel"), tr("zoom around the pointer"));
  map += row(tr("Drag"), tr("zoom into a rectangle"));
  map += row(tr("Middle drag, Shift+drag, wheel"), tr("move the map"));
  map += row(tr("Double click, Home"), tr("show the whole map"));
  map += row(tr("Enter"), tr("go to the page of the selected expert"));
  map += row(tr("Esc"), tr("stop picking a reroute target, show the whole map, select nothing"));
  QString tokens;
  tokens += row(tr("Click, Left, Right"), tr("select a token"));
  tokens += row(tr("Shift+click"), tr("show only the tokens from the selected one to this one"));
  tokens += row(tr("Esc"), tr("show all tokens again, select none"));
  QString text = section(tr("On the routing map"), map) + section(tr("On the token strip"), tokens);
  for (const QAction* action : menus.actions()) {
    if (action->menu() == nullptr) continue;
    QString rows;
    add_actions(action->menu()->actions(), rows);
    text += section(plain(action->text()), rows);
  }
  return text;
}

}  // namespace expertscope
