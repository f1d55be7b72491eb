// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "views/models/workbench.h"

namespace expertscope {

/// Looks for the bundled demo beside the program (an installed tree, or a build tree inside the sources) and
/// in the sources it was built from; traces go to the person's data folder.
ProgramPaths find_program_paths();

}  // namespace expertscope
