// kernels/ops.h: the op API. Model code is written once against it; each op dispatches on the context's backend.
//
// Conventions
//   * Token-major (NHWC): the last dimension is channels, contiguous; leading dimensions are batch and tokens or pixels. Where "rows" is
//     said, the leading dimensions must collapse to one pitch (Tensor::has_row_pitch), so a slice of channels of a wider tensor is fine.
//   * Activations x, y are f32, bf16 or f16, all of one type in a call (the context's); sums, softmax, norms and states accumulate in f32.
//   * Vectors of parameters (biases, norm weights, modulation rows, depthwise filters) are f32 whatever the model's type.
//   * Outputs come after inputs and never alias inputs unless said. Ops throw kInternal for shapes that do not fit: that is a bug in model
//     code, since checkpoints are checked when they load.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/context.h"

namespace linea {

enum class Activation : uint8_t { kNone, kRelu, kSilu, kGeluTanh };

// A matrix or convolution weight as its backend wants it. `data` is the checkpoint's tensor where the backend uses it as it is (then a
// mapped file costs no memory); `packed` is the backend's own form where it does not.
struct Weight {
  Tensor data;
  Shape shape;  // the checkpoint's logical shape: [out, in] or [out, in/groups, kh, kw]
  std::shared_ptr<void> packed;
  bool defined() const { return shape.rank() != 0; }
};

// w [out, in] of the context's type.
Weight prepare_linear(Context& ctx, const Tensor& w);
// w [out, in, kh, kw] of the context's type.
Weight prepare_conv2d(Context& ctx, const Tensor& w);

// Host values into a contiguous f32 tensor of the device, and any contiguous tensor back to the host (which waits for its value).
void upload(Context& ctx, std::span<const float> values, const Tensor& y);
Tensor download(Context& ctx, const Tensor& x);

// ---- Matrix products and convolutions ------------------------------------------------------------------------------------------

// y = residual + gate ⊙ act(x Wᵀ + bias)      x [rows, in], y [rows, out]
struct LinearArgs {
  Tensor bias{};  // [out] f32
  Activation activation = Activation::kNone;
  Tensor residual{};  // [rows, out], may be y itself
  Tensor gate{};      // [B, out] f32: one row for each rows/B consecutive rows; needs residual
};
void linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args = {});

// Channels in consecutive groups, each with its own square matrix:  y[r, g·d + i] = Σ_j w[g·d + i, j] x[r, g·d + j]
// x, y [rows, G·d]; w [G·d, d] f32.
void grouped_linear(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y);

// x [B, H, W, in], y [B, H', W', out]; zero padding of (k-1)/2 left and right, and above and below unless rows say otherwise.
struct Conv2dArgs {
  Tensor bias{};  // [out] f32
  Activation activation = Activation::kNone;
  Tensor residual{};                    // like y, added last; may be y itself
  int stride = 1;                     // 1 or 2
  bool upsample_nearest = false;      // the convolution sees x enlarged 2× by repetition (never materialised): H' = 2H
  int pad_top = -1, pad_bottom = -1;  // rows of zeros; -1 = (k-1)/2. Strips of a larger map pass 0 where real rows stand.
};
void conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args = {});

// One k×k filter a channel, stride 1, zero padding k/2.  x [B, H, W, C]; w [k, k, C] f32.
// gated: y[c] = u[c] · silu(u[C/2 + c]) of the result u, and y has C/2 channels (GLUMBConv).
struct DepthwiseArgs {
  Tensor bias{};  // [C] f32
  bool gated = false;
  int pad_top = -1, pad_bottom = -1;
};
void depthwise_conv2d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args = {});

// ---- Norms ---------------------------------------------------------------------------------------------------------------------

// y = LN(x) ⊙ (1 + scale) + shift, LN without parameters.  x, y [B, N, D]; scale, shift [B, D] f32 (row pitch allowed).  y may be x.
void modulated_layer_norm(Context& ctx, const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& y, float eps);

// y = residual + act( x · rsqrt(mean(x²) + eps) ⊙ (w or 1 + w) + bias )     rows of D.  y may be x or residual.
struct RmsNormArgs {
  float eps = 1e-5f;
  bool unit_offset = false;  // Gemma multiplies by (1 + w)
  Tensor bias{};               // [D] f32
  Activation activation = Activation::kNone;
  Tensor residual{};
};
void rms_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs& args = {});

// ---- Attention -----------------------------------------------------------------------------------------------------------------

// Global ReLU linear attention (arXiv 2410.10629, §2.2), with ⁺ = max(·, 0):
//   S = Σ_n [v_n ; 1] (k_n⁺)ᵀ,   y_n = (S q_n⁺)[0:d] / ((S q_n⁺)[d] + eps)
// q, k, v, y [B, N, H, d], last stride 1, any other strides (heads may be interleaved). Sums in f32.
void relu_linear_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& y, float eps = 1e-15f);

// y = softmax(softcap(scale · q kᵀ)) v;   q, y [B, N, H, d];  k, v [L, Hk, d], kv head j serves the H/Hk query heads from j·H/Hk.
struct AttentionArgs {
  float scale = 1.0f;
  float softcap = 0.0f;  // s ← cap·tanh(s/cap); 0 = off
  bool causal = false;   // query n sees keys n' <= n (of its own segment)
  int64_t window = 0;    // and n - n' < window; 0 = all
  // Batch member b attends to rows [key_offsets[b], key_offsets[b+1]) of k and v. Empty = B equal parts of L.
  std::vector<int64_t> key_offsets{};
};
void softmax_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& y, const AttentionArgs& args);

// Rotary embedding, half-split convention, in place: x [N, H, d], row n at position first_position + n,
// (x[i], x[i + d/2]) rotated by position · theta^(-2i/d).
void rotary_embedding(Context& ctx, const Tensor& x, int64_t first_position, float theta);

// ---- Rows and elements ---------------------------------------------------------------------------------------------------------

// y[n] = table[ids[n]] · scale.   table [V, D] any float type; y [n, D]. Ids on the host.
void embedding_lookup(Context& ctx, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale = 1.0f);

void activate(Context& ctx, const Tensor& x, const Tensor& y, Activation activation);  // y may be x
// y = act(gate) ⊙ up    rows of D; y may be either.
void multiply_activated(Context& ctx, const Tensor& gate, const Tensor& up, const Tensor& y, Activation activation);
void add(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& y);  // same shapes; y may be either
void add_rows(Context& ctx, const Tensor& x, const Tensor& rows,
              const Tensor& y);                             // x, y [B, N, D]; rows [N, D] f32 for every b; y may be x
void cast(Context& ctx, const Tensor& x, const Tensor& y);  // float types, same shape, rows
// y = Σ_i coefficient_i · x_i     f32 only, contiguous; y may be any x_i. The arithmetic of schedulers and guidance.
struct Term {
  float coefficient;
  Tensor x;
};
void linear_combination(Context& ctx, std::span<const Term> terms, const Tensor& y);

// ---- Rearrangements of DC-AE (arXiv 2410.10733, §3.1) ------------------------------------------------------------------------------

// y[2h+i, 2w+j, c] = x[h, w, 4c + 2i + j]       x [B, H, W, 4C], y [B, 2H, 2W, C]
void pixel_shuffle(Context& ctx, const Tensor& x, const Tensor& y);
// y[h, w, 4c + 2i + j] = x[2h+i, 2w+j, c]       x [B, 2H, 2W, C], y [B, H, W, 4C]
void pixel_unshuffle(Context& ctx, const Tensor& x, const Tensor& y);
// y[h, w, c] += mean_{m<g} U[h, w, c·g + m], U = pixel_unshuffle(x), g = 4·Cin/Cout.      x [B, 2H, 2W, Cin], y [B, H, W, Cout]
void add_downsample_shortcut(Context& ctx, const Tensor& x, const Tensor& y);
// y[2h+i, 2w+j, c] += x[h, w, ⌊(4c + 2i + j) / r⌋], r = 4·Cout/Cin.                        x [B, H, W, Cin], y [B, 2H, 2W, Cout]
void add_upsample_shortcut(Context& ctx, const Tensor& x, const Tensor& y);
// y[r, c] += mean of the Cin/Cout channels of x from c·Cin/Cout.    x [rows, Cin], y [rows, Cout]
void add_channel_mean(Context& ctx, const Tensor& x, const Tensor& y);
// y[r, c] += x[r, ⌊c·Cin/Cout⌋].                                    x [rows, Cin], y [rows, Cout]
void add_channel_repeat(Context& ctx, const Tensor& x, const Tensor& y);

}  // namespace linea
