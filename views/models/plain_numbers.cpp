// SPDX-License-Identifier: GPL-3.0-or-later
#include "views/models/plain_numbers.h"

#include <QLocale>
#include <clocale>

namespace expertscope {

void use_plain_numbers() {
  std::setlocale(LC_NUMERIC, "C");  // of libraries in C
  QLocale::setDefault(QLocale::c());
}

}  // namespace expertscope
