// kernels/cpu/cpu_backend.h: the CPU's implementation of the op API.
//
// Matrix products with AVX-512, and the convolutions that winograd_conv.h does not serve, go to oneDNN (onednn.h), everything else to the
// vectorised kernels of simd/, for the instruction set chosen at start (isa.h), bf16 attention to matrix units where there are any. Bits of
// results depend neither on the number of threads nor on the other members of a batch. Convolutions of f16, and of bf16 without AVX-512,
// are computed in f32, their filters widened once. Thread rule: one context per thread; the backend itself has no state but caches that
// lock themselves.
#pragma once

#include <span>

#include "core/threads.h"
#include "kernels/backend.h"
#include "kernels/cpu/simd/kernels.h"
#include "kernels/cpu/simd/tile_kernels.h"

namespace linea {

class CpuBackend final : public Backend {
 public:
  // `tiles` may be null.
  CpuBackend(const cpu::Kernels& kernels, const cpu::TileKernels* tiles) : kernels_(kernels), tiles_(tiles) {}

  Device device() const override { return kCpuDevice; }
  DType preferred_dtype() const override;
  void synchronize() override {}
  void run_sequence(const std::function<void()>& work) override { with_helpers(work); }

  bool multiplies_quantized() const override { return true; }
  bool multiplies_narrow() const override { return true; }
  Weight prepare_linear(const Tensor& w) override;
  bool packs(DType type) const override;
  Weight prepare_packed_linear(const Tensor& w) override;
  Weight prepare_conv2d(const Tensor& w) override;
  int64_t folded_bytes(const Weight& w) const override;
  int64_t transformed_bytes(const Weight& w) const override;
  bool library_keeps_filters(DType type) const override;

  void linear(Context&, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs&) override;
  void grouped_linear(Context&, const Tensor& x, const Tensor& w, const Tensor& y) override;
  void conv2d(Context&, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs&) override;
  void depthwise_conv2d(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs&) override;
  void modulated_layer_norm(Context&, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y, float eps) override;
  void rms_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs&) override;
  void relu_linear_attention(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, float eps) override;
  void softmax_attention(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, const AttentionArgs&) override;
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

 private:
  // Rows of x through the epilogue kernel, on all threads.
  void finish_rows(const cpu::EpilogueParams& params, int64_t rows) const;
  void vector_attention(Context&, const cpu::AttentionParams& params, int64_t batch, int64_t heads, int64_t kv_heads,
                        std::span<const int64_t> key_offsets) const;
  // The same in bf16 on matrix units.
  void tiled_attention(Context&, const cpu::AttentionParams& params, int64_t batch, int64_t heads, int64_t kv_heads,
                       std::span<const int64_t> key_offsets) const;
  void pitched_linear(Context&, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs&);
  // The product of `out`, whose x and w are x and w here.
  void quantized_linear(Context&, const Tensor& x, const Weight& w, const Tensor& y, const cpu::GemmParams& out);
  void upsampled_conv2d(Context&, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs&);

  const cpu::Kernels& kernels_;
  const cpu::TileKernels* tiles_;
};

}  // namespace linea
