// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>
#include <vector>

#include "engine/model/families/family.h"

namespace expertscope {

extern const Family kDeepseekV2;
extern const Family kDeepseekV3;
extern const Family kDots1;
extern const Family kFlexOlmo;
extern const Family kGemma4;
extern const Family kGemma4Text;
extern const Family kGlm4Moe;
extern const Family kGlm4MoeLite;
extern const Family kGptOss;
extern const Family kMixtral;
extern const Family kOlmoe;
extern const Family kQwen2Moe;
extern const Family kQwen3Moe;
extern const Family kQwen35Moe;
extern const Family kQwen35MoeText;
extern const Family kQwen3Next;

std::span<const Family* const> families() {
  static constexpr std::array kFamilies = {&kDeepseekV2, &kDeepseekV3, &kDots1,     &kFlexOlmo,
                                           &kGemma4,     &kGemma4Text, &kGlm4Moe,   &kGlm4MoeLite,
                                           &kGptOss,     &kMixtral,    &kOlmoe,     &kQwen2Moe,
                                           &kQwen3Moe,   &kQwen3Next,  &kQwen35Moe, &kQwen35MoeText};
  return kFamilies;
}

Result<const Family*> find_family(std::string_view name, const std::string& file) {
  const auto all = families();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Family* family) { return family->name == name; });
  if (it != all.end()) return *it;
  std::vector<std::string_view> known;
  for (const Family* family : all)
    known.emplace_back(family->name);
  return fail(ErrorCode::unsupported, "{}: architecture {} is not supported; supported: {}", file, name,
              fmt::join(known, ", "));
}

}  // namespace expertscope
