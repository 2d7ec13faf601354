// kernels/bench/profile.h: a backend that times another one's ops while a model runs on it.
//
// Time is taken by marks in the device's own order of work (Backend::mark_time), so nothing waits and small ops are not rounded up by the
// host. An op that is made of other ops counts without them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/bench/bench.h"

namespace linea::bench {

// One op with one set of shapes, over all calls since the last reset.
struct OpTotal {
  std::string name;
  int calls = 0;
  double seconds = 0, flops = 0, bytes = 0;  // of all calls
  bool f32_math = false;                     // the floor counts f32 products
};

class ProfilingBackend final : public Backend {
 public:
  explicit ProfilingBackend(Backend& inner) : inner_(inner) {}

  // Waits for the device and gives the totals in the order of first calls; forgets them.
  std::vector<OpTotal> take();

  Device device() const override { return inner_.device(); }
  DType preferred_dtype() const override { return inner_.preferred_dtype(); }
  void synchronize() override { inner_.synchronize(); }
  std::unique_ptr<TimeMark> mark_time() override { return inner_.mark_time(); }
  bool multiplies_quantized() const override { return inner_.multiplies_quantized(); }
  bool looks_up_quantized() const override { return inner_.looks_up_quantized(); }
  bool multiplies_narrow() const override { return inner_.multiplies_narrow(); }
  bool multiplies_fp8() const override { return inner_.multiplies_fp8(); }
  Weight prepare_linear(const Tensor& w) override { return inner_.prepare_linear(w); }
  bool packs(DType type) const override { return inner_.packs(type); }
  Weight prepare_packed_linear(const Tensor& w) override { return inner_.prepare_packed_linear(w); }
  Weight prepare_fp8_linear(const Tensor& w) override { return inner_.prepare_fp8_linear(w); }
  Weight prepare_conv2d(const Tensor& w) override { return inner_.prepare_conv2d(w); }
  int64_t folded_bytes(const Weight& w) const override { return inner_.folded_bytes(w); }
  int64_t transformed_bytes(const Weight& w) const override { return inner_.transformed_bytes(w); }
  bool library_keeps_filters(DType type) const override { return inner_.library_keeps_filters(type); }

  void linear(Context&, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs&) override;
  void grouped_linear(Context&, const Tensor& x, const Tensor& w, const Tensor& y) override;
  void conv2d(Context&, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs&) override;
  void depthwise_conv2d(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs&) override;
  void expand_depthwise(Context&, const Tensor& x, const Weight& w, const Tensor& filters, const ProductRows& y,
                        const ExpandArgs&) override;
  void modulated_layer_norm(Context&, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y, float eps) override;
  void rms_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs&) override;
  void relu_linear_attention(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, float eps) override;
  void softmax_attention(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, const AttentionArgs&) override;
  void value_bounds(Context&, const Tensor& v, std::span<const int64_t> key_offsets, const Tensor& bounds) override;
  void rotary_embedding(Context&, const Tensor& x, int64_t first_position, float theta) override;
  void embedding_lookup(Context&, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) override;
  void activate(Context&, const Tensor& x, const Tensor& y, Activation) override;
  void multiply_activated(Context&, const Tensor& gate, const Tensor& up, const Tensor& y, Activation) override;
  void add(Context&, const Tensor& a, const Tensor& b, const Tensor& y) override;
  void add_rows(Context&, const Tensor& x, const Tensor& rows, const Tensor& y) override;
  void cast(Context&, const Tensor& x, const Tensor& y) override;
  void linear_combination(Context&, std::span<const Term> terms, const Tensor& y) override;
  void pixel_shuffle(Context&, const Tensor& x, const Tensor& y) override;
  void pixel_unshuffle(Context&, const Tensor& x, const Tensor& y) override;
  void add_downsample_shortcut(Context&, const Tensor& x, const Tensor& y) override;
  void add_upsample_shortcut(Context&, const Tensor& x, const Tensor& y) override;
  void add_channel_mean(Context&, const Tensor& x, const Tensor& y) override;
  void add_channel_repeat(Context&, const Tensor& x, const Tensor& y) override;
  bool takes_sequences() const override { return inner_.takes_sequences(); }
  void linear_recurrence(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs&, const Tensor& state,
                         const Tensor& y) override;
  void selective_scan(Context&, const Tensor& x, const SelectiveScanArgs&, const Tensor& state, const Tensor& y) override;
  void weighted_average(Context&, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& u, const Tensor& state,
                        const Tensor& y) override;
  void causal_conv1d(Context&, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                     Activation) override;
  void token_shift(Context&, const Tensor& x, const Tensor& state, const Tensor& y) override;
  void lerp(Context&, const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) override;
  void elementwise(Context&, const Tensor& x, const Tensor& y, const ElementwiseArgs&) override;
  void group_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs&) override;
  void normalize_heads(Context&, const Tensor& x, const Tensor& w, const Tensor& y, int64_t heads, float eps) override;
  void add_bonus(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u, const Tensor& y) override;
  void project(Context&, std::span<const Projection> projections) override;
  void mix_with_previous(Context&, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                         std::span<const Mix> mixes) override;
  void rwkv7_inputs(Context&, const Rwkv7Inputs& in) override;
  void rwkv7_outputs(Context&, const Rwkv7Outputs& args, const Tensor& y) override;
  void rwkv7_heads(Context&, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y) override;
  void mamba2_heads(Context&, const Mamba2Heads& in, const Tensor& state, const Tensor& y) override;

 private:
  struct Call {
    std::string name;
    double flops = 0, bytes = 0;
    bool f32_math = false;
    int parent = -1;
    std::unique_ptr<TimeMark> begin{}, end{};
  };
  template <class Run> void timed(Context& ctx, Call call, const Run& run);

  Backend& inner_;
  std::vector<Call> calls_;
  int open_ = -1;  // the call that is running
};

}  // namespace linea::bench
