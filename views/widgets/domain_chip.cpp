// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/widgets/domain_chip.h"

#include "views/models/plain_text.h"
#include "views/models/subject.h"

namespace expertscope {
namespace {

constexpr int kLongest = 120;  // pixels of a name

}  // namespace

DomainChip::DomainChip(Subject& subject, QWidget* parent) : QToolButton(parent), subject_(subject) {
  setObjectName(QStringLiteral("domain_chip"));
  setCheckable(true);
  connect(this, &QToolButton::clicked, this, [this] { subject_.selection().set_domain({}); });
  connect(&subject.selection(), &Selection::domain_changed, this, &DomainChip::update_domain);
  update_domain();
}

void DomainChip::update_domain() {
  const std::string& domain = subject_.selection().domain();
  const QString name = visible(domain);
  setVisible(!domain.empty());
  setChecked(!domain.empty());
  setText(tr("%1 ×").arg(fontMetrics().elidedText(name, Qt::ElideRight, kLongest)));
  setToolTip(plain_tooltip(tr("Only tokens of %1 count, in every view. Click to count all.").arg(name)));
  setAccessibleName(tr("Domain filter: %1").arg(name));
}

}  // namespace expertscope
