// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFrame>
#include <functional>

class QPushButton;
class QTextEdit;
class QTimer;

namespace expertscope {

/// A way out of what a message says, as a button below it.
struct BannerOffer {
  QString text;
  std::function<void()> take;
};

/// A message that never blocks, over the lower right corner of its parent, where it moves nothing: an error
/// or a warning until it is closed, and a notice for some seconds. It grows upwards, so that its buttons stay
/// in place.
class MessageBanner final : public QFrame {
  Q_OBJECT
 public:
  explicit MessageBanner(QWidget* parent = nullptr);

  void show_error(const QString& message, const BannerOffer& offer = {});
  /// Stays until it is closed, as an error does.
  void show_warning(const QString& message);
  /// With an offer it stays.
  void show_notice(const QString& message, const BannerOffer& offer = {});
  /// What went wrong is mended or no longer matters: an error or a warning goes, a notice stays.
  void dismiss_trouble();
  /// What can be read; empty when it is hidden.
  QString message() const;
  bool is_error() const { return trouble_ == Trouble::error; }

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  enum class Trouble : std::uint8_t { none, warning, error };
  void show_trouble(Trouble trouble, const QString& message, const BannerOffer& offer);
  void dismiss_notice();
  void dismiss_all();
  void set_offer(const BannerOffer& offer);
  void update_message();
  /// Fits the height to the text and goes to the corner.
  void place();

  Trouble trouble_ = Trouble::none;
  QString unread_;  ///< what went wrong
  QString notice_;  ///< stands below it
  QTextEdit* text_;
  QPushButton* offer_button_;
  BannerOffer offer_;
  QPushButton* close_;
  QTimer* fade_;
};

}  // namespace expertscope
