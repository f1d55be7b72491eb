// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/subject.h"

namespace expertscope {

QString Subject::why_not_editable() {
  return tr("A stored trace cannot be edited. Open the model folder to change its routing.");
}

}  // namespace expertscope
