// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/formats/tensor_store.h"
#include "engine/model/config.h"
#include "engine/model/quantization.h"
#include "engine/model/tensor_names.h"

namespace expertscope {

/// Refuses weights whose tensors are named as a quantiser names them of which config.json says nothing.
Status refuse_quantised_tensors(const TensorStore& store, const Quantization& quantization);

/// What is to be said of the tensors that the model does not use; empty when it uses all. `used` has an
/// element for each of store.tensors(). One that takes part in the arithmetic of a model of this kind (a
/// bias, a shared expert, a correction of the router, anything else inside a layer that runs) is an error:
/// without it the results would be those of another model.
Result<std::string> account_for_unused(const TensorStore& store, const std::vector<std::uint8_t>& used,
                                       const ModelConfig& config, const TensorNames& names);

}  // namespace expertscope
