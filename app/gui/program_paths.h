// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "views/models/workspace.h"

namespace expertscope {

/// Looks for the bundled demo beside the program (an installed tree, or a build tree inside the sources) and
/// in the sources it was built from; traces go to the person's data folder.
WorkspacePaths find_program_paths();

}  // namespace expertscope
