// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QToolButton>

namespace expertscope {

class Subject;

/// Names the domain whose tokens alone count, while there is one; a click on it takes the filter away.
class DomainChip final : public QToolButton {
  Q_OBJECT
 public:
  explicit DomainChip(Subject& subject, QWidget* parent = nullptr);

 private:
  void update_domain();

  Subject& subject_;
};

}  // namespace expertscope
