// SPDX-License-Identifier: GPL-3.0-or-later
#include "engine/cuda/forward.h"
#include "engine/cuda/kernels/probes.cuh"

namespace expertscope::cuda {

void capture_hidden(ForwardContext& context, int layer) {
  // A recorded step learns on the device what is wanted.
  if (!context.decoding() && !context.capture.hidden) return;
  context.queue.launch(&measure_hidden, {dim3(static_cast<unsigned>(context.rows())), kRowThreads, 0},
                       context.input.device(), context.work.hidden, context.config.hidden_size, layer);
}

Status describe_layers(const ModelConfig& config, const Workspace& work, const RoutingTables& routing,
                       cudaStream_t stream) {
  std::vector<LayerParts> layers;
  int moe_layer = 0;
  for (int n = 0; n < config.num_layers(); ++n) {
    LayerParts layer;
    layer.parts = work.parts(n);
    layer.output_blocks = work.output_blocks;
    layer.hidden_blocks = work.output_blocks;
    layer.moe_layer = moe_layer;
    layer.routing = config.is_moe(n) ? routing.layer(n) : nullptr;
    const int offset = n * kDecodeTokens * work.decode_slots;
    layer.slots = {work.slots.expert + offset, work.slots.weight + offset};
    if (config.layer(n).shared.width > 0) layer.shared = work.shared_parts(n).output;
    layer.first_token = work.first_token + n * kDecodeTokens * config.widest().heads;
    layer.heads = config.layer(n).attention.heads;
    layers.push_back(layer);
    moe_layer += config.is_moe(n) ? 1 : 0;
  }
  const char* what = "preparing the probes";
  const cudaError_t code = cudaMemcpyAsync(
      work.layer_parts, layers.data(), layers.size() * sizeof(LayerParts), cudaMemcpyHostToDevice, stream);
  if (auto ok = check(code, what); !ok) return ok;
  return check(cudaStreamSynchronize(stream), what);
}

void finish_decode_probes(ForwardContext& context) {
  context.queue.enter("finishing the probes");
  context.queue.launch(
      &finish_probes,
      {dim3(static_cast<unsigned>(context.config.num_layers()), static_cast<unsigned>(context.bucket)),
       kRowThreads, 0},
      context.input.device(), static_cast<const LayerParts*>(context.work.layer_parts));
}

}  // namespace expertscope::cuda
