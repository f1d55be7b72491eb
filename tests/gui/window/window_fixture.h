// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QAction>
#include <QApplication>
#include <QClipboard>
#include <QDialogButtonBox>
#include <QFileDialog>
#include <QLineEdit>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QWindow>
#include <string>

#include "tests/gui/workbench_fixture.h"
#include "tests/support/model_folder.h"
#include "views/widgets/heatmap_panel.h"
#include "views/widgets/message_banner.h"
#include "views/widgets/token_strip.h"
#include "views/window/main_window.h"
#include "views/window/theme.h"

namespace expertscope::testing {

/// Lets a model generate without an end: no end-of-text token, and a context of 4096.
inline void make_endless(const ModelFolder& folder) {
  const auto edit = [](nlohmann::json& settings) {
    settings["eos_token_id"] = nlohmann::json::array();
    if (settings.contains("max_position_embeddings")) settings["max_position_embeddings"] = 4096;
  };
  folder.edit_json("config.json", edit);
  folder.edit_json("generation_config.json", edit);
}

/// The main window on screen (an off-screen one), driven by mouse and keyboard.
class WindowTest : public WorkbenchTest {
 protected:
  WindowTest() {
    window_.resize(1280, 860);
    window_.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&window_));
  }

  template <class T>
  T& part(const char* name) {
    T* found = window_.findChild<T*>(QString::fromLatin1(name));
    require(found != nullptr, std::string("there is no ") + name);
    return *found;
  }
  HeatmapPanel& heatmap() { return *window_.findChild<HeatmapPanel*>(); }
  HeatmapView& map() { return heatmap().map(); }
  QAction& action(const char* name) { return part<QAction>(name); }

  void click(QWidget& widget) { QTest::mouseClick(&widget, Qt::LeftButton); }
  void click_cell(Cell cell, Qt::MouseButton button = Qt::LeftButton) {
    const QPoint at = map().mapTo(&window_, map().geometry_map().rect_of(cell).center().toPoint());
    // Through the window, as the mouse does it: a right click then asks for a context menu.
    QTest::mouseClick(window_.windowHandle(), button, {}, at);
  }
  /// Opens the menu of a cell and clicks through it: {"Prune", "mask"}.
  void choose_for_cell(Cell cell, const QStringList& path) {
    click_cell(cell, Qt::RightButton);
    require(wait_until([] { return QApplication::activePopupWidget() != nullptr; }), "no menu came up");
    auto* menu = qobject_cast<QMenu*>(QApplication::activePopupWidget());
    for (const QString& step : path) {
      QAction* wanted = menu != nullptr ? find_action(*menu, step) : nullptr;
      require(wanted != nullptr, "the menu has no " + step.toStdString());
      QTest::mouseClick(menu, Qt::LeftButton, {}, menu->actionGeometry(wanted).center());
      menu = wanted->menu();
      require(menu == nullptr || wait_until([menu] { return menu->isVisible(); }), "no submenu came up");
    }
    require(wait_until([] { return QApplication::activePopupWidget() == nullptr; }), "the menu stays");
  }
  static QAction* find_action(const QMenu& menu, const QString& text) {
    for (QAction* action : menu.actions()) {
      if (action->text().remove(QLatin1Char('&')).contains(text)) return action;
    }
    return nullptr;
  }
  /// Answers the file dialog that an action opened.
  void answer_file_dialog(const QString& file) {
    QFileDialog* dialog = nullptr;
    const bool shown = wait_until([&] {
      dialog = window_.findChild<QFileDialog*>();
      return dialog != nullptr && dialog->isVisible();
    });
    require(shown, "no file dialog came up");
    auto* name = dialog->findChild<QLineEdit*>(QStringLiteral("fileNameEdit"));
    // Pasted: typed letter by letter, the completion of the dialog would choose the folder on the way.
    name->selectAll();
    QGuiApplication::clipboard()->setText(file);
    QTest::keySequence(name, QKeySequence::Paste);
    const bool saves = dialog->acceptMode() == QFileDialog::AcceptSave;
    auto* buttons = dialog->findChild<QDialogButtonBox*>();
    QTest::mouseClick(buttons->button(saves ? QDialogButtonBox::Save : QDialogButtonBox::Open),
                      Qt::LeftButton);
    require(wait_until([&] { return window_.findChild<QFileDialog*>() == nullptr; }), "the dialog stays");
  }
  /// Runs an action that asks for a file and waits until the file is written.
  void save_by(const char* name, const QString& file) {
    action(name).trigger();
    answer_file_dialog(file);
    require(wait_until([&] { return saved_.contains(file); }), "not written: " + first_error());
  }
  QByteArray read(const QString& file) {
    QFile in(file);
    EXPECT_TRUE(in.open(QIODevice::ReadOnly)) << file.toStdString();
    return in.readAll();
  }

  void type_prompt(const QString& text) {
    auto& prompt = part<QPlainTextEdit>("prompt");
    prompt.selectAll();
    QTest::keyClicks(&prompt, text);
  }
  std::int64_t tokens_seen() {
    const auto view = workbench_.view();
    return view && view->tokens ? view->tokens->total : 0;
  }

  /// As the program does it, before the first widget is made.
  struct Style {
    Style() { install_style(); }
  };
  Style style_;
  MainWindow window_{workbench_};
};

}  // namespace expertscope::testing
