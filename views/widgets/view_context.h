// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QByteArray>
#include <QString>
#include <functional>

class QWidget;

namespace expertscope {

class ExpertActions;
class Subject;
struct Commands;

/// A picture as a file with this suffix: "png" or "svg".
using Picture = std::function<QByteArray(const QString& suffix)>;

/// All that a view is made with. It outlives the view.
struct ViewContext {
  Subject& subject;        ///< what is shown, shared and asked for
  ExpertActions& experts;  ///< what can be done to the selected expert
  Commands& commands;      ///< the other commands of the menus

  std::function<void(QWidget* view)> raise;           ///< brings a view to the front
  std::function<void(const QString& line)> read_out;  ///< what is under the pointer, for the status bar
  std::function<void(const QString& text)> notify;    ///< good news, for some seconds
  std::function<void(Picture picture)> save_picture;  ///< asks where to, and writes it
};

}  // namespace expertscope
