// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/text/chat_template.h"

namespace expertscope {

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::recognise(std::string_view) {
  return fail(ErrorCode::unsupported, "The chat template is not understood; prompts are used as they are.");
}

}  // namespace expertscope
