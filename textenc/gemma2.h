// textenc/gemma2.h: Gemma 2 (arXiv 2408.00118) as a text encoder: the decoder's last hidden state, no language-model head.
//
// Reference: Gemma2Model of transformers with eager attention; golden tests in tests/textenc. Weights are read-only after load and may be
// shared by threads, each with its own Context.
// Surprises: norms multiply by (1 + w); each branch is normed on both sides; the embedding is scaled by √hidden, rounded to the model's
// type.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/checkpoint.h"
#include "kernels/weight_streaming.h"
#include "textenc/gemma2_config.h"

namespace linea {

struct Gemma2Layer {
  Tensor input_norm, post_attention_norm, pre_feedforward_norm, post_feedforward_norm;  // [D] f32
  Weight q, k, v, out;                                                                  // [H·d, D], [Hk·d, D] twice, [D, H·d]
  Weight gate, up, down;                                                                // [I, D] twice, [D, I]
};

template <> struct LayerTensors<Gemma2Layer> {
  static void visit(Gemma2Layer& layer, const auto& visit) {
    for (Tensor* norm : {&layer.input_norm, &layer.post_attention_norm, &layer.pre_feedforward_norm, &layer.post_feedforward_norm}) {
      visit(*norm);
    }
    for (Weight* matrix : {&layer.q, &layer.k, &layer.v, &layer.out, &layer.gate, &layer.up, &layer.down}) visit(*matrix);
  }
};

// Where layers lie between forward passes. What is not resident has its embedding table on the host, too.
enum class Gemma2Layers : uint8_t {
  kResident,  // on the device
  kStreamed,  // prepared at their homes (kernels/weight_streaming.h): a pass has two at a time on the device
  kReloaded,  // in the file: a pass loads one at a time
};

class Gemma2 {
 public:
  // Names with or without the prefix "model."; a language-model head is ignored. The checkpoint's mapping is used where types match.
  // Throws kModel for tensors that are missing, misshapen or unknown.
  static Gemma2 load(Context& ctx, const Checkpoint& checkpoint, const Gemma2Config& config, Gemma2Layers where = Gemma2Layers::kResident);

  // y = last_hidden_state [T, hidden] of the T tokens `ids`, position 0 first, no padding: attention is causal, so what would be padded on
  // the right cannot change these rows. Temporaries and slots of streamed layers come from ctx.arena. Taps: embed_tokens, layers.i, norm.
  // Throws kModel for an id outside the vocabulary and kUsage for more tokens than the model has positions.
  void forward(Context& ctx, std::span<const int32_t> ids, const Tensor& y) const;
  // Several texts, each for itself, in one way through the layers: those that are not resident come once for all.
  struct Text {
    std::span<const int32_t> ids;
    Tensor y;
  };
  void forward(Context& ctx, std::span<const Text> texts) const;

  const Gemma2Config& config() const { return config_; }
  int64_t streamed_bytes() const { return static_cast<int64_t>(layers_.streamed()) * layers_.slot_bytes(); }  // of a pass
  // Off reproduces reference runs with fused (SDPA) attention, which has no softcap. Not while another thread is in forward.
  void set_softcap(bool on) { softcap_ = on ? config_.softcap : 0.0f; }

 private:
  void check_ids(std::span<const int32_t> ids) const;
  void embed(Context& ctx, std::span<const int32_t> ids, const Tensor& x) const;
  void attention(Context& ctx, const Gemma2Layer& layer, int64_t window, const Tensor& x) const;
  void feed_forward(Context& ctx, const Gemma2Layer& layer, const Tensor& x) const;

  Gemma2Config config_;
  float softcap_ = 0;
  Tensor embedding_, norm_;  // [V, D], [D] f32
  LayerStore<Gemma2Layer> layers_;
  std::function<Gemma2Layer(Context&, size_t)> load_layer_;  // of reloaded layers, where layers_ is empty
};

}  // namespace linea
