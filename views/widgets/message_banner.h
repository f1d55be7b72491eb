// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QFrame>
#include <functional>

class QLabel;
class QProgressBar;
class QPushButton;
class QTimer;

namespace expertscope {

/// A way out of what a message says, as a button beside it.
struct BannerOffer {
  QString text;
  std::function<void()> take;
};

/// One line above the panels that never blocks: an error until it is closed, a notice for some seconds, or
/// something that runs, with progress and cancel.
class MessageBanner final : public QFrame {
  Q_OBJECT
 public:
  explicit MessageBanner(QWidget* parent = nullptr);

  void show_error(const QString& message, const BannerOffer& offer = {});
  /// Stays until it is closed, as an error does.
  void show_warning(const QString& message);
  /// With an offer it stays.
  void show_notice(const QString& message, const BannerOffer& offer = {});
  /// `fraction` < 0: how far is not known.
  void show_progress(const QString& what, double fraction);
  /// Ends what show_progress() began; errors and notices stay.
  void end_progress();
  QString message() const;
  bool is_error() const { return kind_ == Kind::error; }

 Q_SIGNALS:
  void cancelled();

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  enum class Kind : std::uint8_t { notice, warning, error, progress };
  void show_kind(Kind kind, const QString& message, const BannerOffer& offer = {});

  Kind kind_ = Kind::notice;
  QString unread_;  ///< the error or warning that is shown, without the notices below it
  QLabel* text_;
  QProgressBar* progress_;
  QPushButton* offer_button_;
  BannerOffer offer_;
  QPushButton* cancel_;
  QPushButton* close_;
  QTimer* fade_;
};

}  // namespace expertscope
