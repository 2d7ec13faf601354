// kernels/cuda/cuda_backend.h: the CUDA implementation of the op API, one instance a device.
//
// Ops are submitted to one stream and return at once; uploads and downloads go through the same stream, so that memory can be used again
// without waiting. Matrix products of more than a few rows go to cuBLASLt (matmul.h), everything else to the kernels of this folder. No
// kernel uses atomics and all sums have a fixed order: the same inputs give the same bits. During a capture (graph.h) the calling thread's
// ops are recorded instead.
// Thread rule: one context per thread; contexts of several threads share the stream and so wait for each other on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <span>

#include "kernels/backend.h"

namespace linea {

namespace cuda {
class Matmul;
class StreamAllocator;
}  // namespace cuda

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int index);  // throws kDevice when there is no such device or it cannot be used
  ~CudaBackend() override;
  CudaBackend(const CudaBackend&) = delete;
  CudaBackend& operator=(const CudaBackend&) = delete;

  Device device() const override { return device_; }
  DType preferred_dtype() const override { return DType::kBF16; }
  void synchronize() override;
  std::unique_ptr<TimeMark> mark_time() override;

  std::unique_ptr<CapturedWork> capture(const std::function<void()>& work) override;
  void run_sequence(const std::function<void()>& work) override;

  bool multiplies_quantized() const override { return true; }
  bool looks_up_quantized() const override { return false; }
  bool multiplies_fp8() const override;
  Weight prepare_linear(const Tensor& w) override;
  Weight prepare_fp8_linear(const Tensor& w) override;
  Weight prepare_conv2d(const Tensor& w) override;

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
  bool takes_sequences() const override { return true; }
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
  void library_linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args);
  void quantized_linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args);
  bool project_into_f32(const Projection& p);  // false, and nothing submitted, where the library cannot
  const void* library_bias(Context&, const Weight& w, const Tensor& bias, DType type);
  // Makes this device the calling thread's, as every submission needs, and gives the stream: the recording one during a capture.
  cudaStream_t enter() const;

  Device device_;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<cuda::StreamAllocator> allocator_;
  std::unique_ptr<cuda::Matmul> matmul_;
};

}  // namespace linea
