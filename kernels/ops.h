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
#include <limits>
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

// w [out, in] of the context's type, or block-quantised where Backend::multiplies_quantized(), or of 16 bits for an f32 context where
// Backend::multiplies_narrow().
Weight prepare_linear(Context& ctx, const Tensor& w);
// For a matrix that many products with many rows will read, for which the backend may want a copy in another order (Backend::packs).
Weight prepare_packed_linear(Context& ctx, const Tensor& w);
// w [out, in, kh, kw] of the context's type.
Weight prepare_conv2d(Context& ctx, const Tensor& w);

// Rows that matrix products alone read: of the context's type, or as e4m3 with a scale for each, x[r] ≈ scales[r] · values[r], which only
// matrices of FP8 take.
struct ProductRows {
  Tensor values;
  Tensor scales{};  // f32, the leading dimensions of `values`; undefined for rows of the context's type

  ProductRows() = default;
  ProductRows(Tensor rows, Tensor row_scales = {}) : values(std::move(rows)), scales(std::move(row_scales)) {}
  ProductRows reshape(Shape shape) const;                                // of the values
  ProductRows slice(int dimension, int64_t start, int64_t count) const;  // of any but the last
};
// Rows for a product with w in the memory of `space`, a contiguous tensor like x: as e4m3 where w takes them so, else `space` itself.
ProductRows rows_for(const Weight& w, const Tensor& space);

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
  Tensor x_scales{};  // of ProductRows: x is e4m3
};
void linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args = {});

// Channels in consecutive groups, each with its own square matrix:  y[r, g·d + i] = Σ_j w[g·d + i, j] x[r, g·d + j]
// x, y [rows, G·d]; w [G·d, d] f32.
void grouped_linear(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y);

// x [B, H, W, in], y [B, H', W', out]; zero padding of (k-1)/2 left and right, and above and below unless rows say otherwise.
struct Conv2dArgs {
  Tensor bias{};  // [out] f32
  Activation activation = Activation::kNone;
  Tensor residual{};                  // like y, added last; may be y itself
  int stride = 1;                     // 1 or 2
  bool upsample_nearest = false;      // the convolution sees x enlarged 2× by repetition (never materialised): H' = 2H
  int pad_top = -1, pad_bottom = -1;  // rows of zeros; -1 = (k-1)/2. Strips of a larger map pass 0 where real rows stand.
  // The row of the whole map that y's first row is. A device may compute rows in groups, and a strip has the whole map's bits only if it
  // knows where the groups begin.
  int64_t first_row = 0;
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

// y = depthwise_conv2d( act(x Wᵀ + bias) ), the wide map between the two being the widest of a model.
// x [B, H, W, D]; w [C, D]; filters [k, k, C] f32; y as depthwise_conv2d's, or ProductRows.
struct ExpandArgs {
  Tensor bias{};  // [C] f32
  Activation activation = Activation::kNone;
  Tensor x_scales{};  // of ProductRows: x is e4m3
  DepthwiseArgs depthwise{};
};
void expand_depthwise(Context& ctx, const Tensor& x, const Weight& w, const Tensor& filters, const ProductRows& y, const ExpandArgs& args);

// ---- Norms ---------------------------------------------------------------------------------------------------------------------

// y = LN(x) ⊙ (1 + scale) + shift, LN without parameters.  x, y [B, N, D]; scale, shift [B or 1, D] f32 (row pitch allowed).  y may be x.
void modulated_layer_norm(Context& ctx, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y, float eps);

// y = residual + act( x · rsqrt(mean(x²) + eps) ⊙ (w or 1 + w) + bias )     rows of D.  y may be x or residual.
struct RmsNormArgs {
  float eps = 1e-5f;
  bool unit_offset = false;  // Gemma multiplies by (1 + w)
  Tensor bias{};             // [D] f32
  Activation activation = Activation::kNone;
  Tensor residual{};
};
void rms_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs& args = {});

// ---- Attention -----------------------------------------------------------------------------------------------------------------

// Global ReLU linear attention (arXiv 2410.10629, §2.2), with ⁺ = max(·, 0):
//   S = Σ_n [v_n ; 1] (k_n⁺)ᵀ,   y_n = (S q_n⁺)[0:d] / ((S q_n⁺)[d] + eps)
// q, k, v, y [B, N, H, d], last stride 1, any other strides (heads may be interleaved). Sums in f32. y may be ProductRows: then all rows of
// a member have the same scale, from a bound of the values.
void relu_linear_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, float eps = 1e-15f);

// y = softmax(softcap(scale · q kᵀ)) v;   q, y [B, N, H, d];  k, v [L, Hk, d], kv head j serves the H/Hk query heads from j·H/Hk.
struct AttentionArgs {
  float scale = 1.0f;
  float softcap = 0.0f;  // s ← cap·tanh(s/cap); 0 = off
  bool causal = false;   // query n sees keys n' <= n (of its own segment)
  int64_t window = 0;    // and n - n' < window; 0 = all
  // Batch member b attends to rows [key_offsets[b], key_offsets[b+1]) of k and v. Empty = B equal parts of L.
  std::vector<int64_t> key_offsets{};
  Tensor value_bounds{};  // what value_bounds() made of v for these members, for ProductRows; without it they are found again
};
// y may be ProductRows, whose scales then come from a bound of the values where that spares a pass.
void softmax_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, const AttentionArgs& args);

// What bounds the results of softmax_attention for every member: the largest absolute values of parts of its rows of v [L, H, d], whose
// heads are whole vectors. bounds [B, kValueBoundParts] f32; B + 1 key offsets. For devices that multiply FP8.
constexpr int64_t kValueBoundParts = 32;
void value_bounds(Context& ctx, const Tensor& v, std::span<const int64_t> key_offsets, const Tensor& bounds);

// Rotary embedding, half-split convention, in place: x [N, H, d], row n at position first_position + n,
// (x[i], x[i + d/2]) rotated by position · theta^(-2i/d).
void rotary_embedding(Context& ctx, const Tensor& x, int64_t first_position, float theta);

// ---- Rows and elements ---------------------------------------------------------------------------------------------------------

// y[n] = table[ids[n]] · scale.   table [V, D] any float type, or block-quantised as weights may be; y [n, D]. Ids on the host.
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

// ---- Recurrent language models ---------------------------------------------------------------------------------------------------
// States are f32 and are replaced by the state after the last token. Each token is computed the same way wherever the calls are split, so
// these ops give equal bits for any division of a sequence; but for 16-bit linear_recurrence on CUDA devices, whose calls of many tokens go
// in chunks on tensor cores, 2^-16 from that before y is rounded. A state may have a leading dimension B that is not written below: then
// the rows are B sequences of T tokens each, one after the other, which know nothing of each other.

// One head h of the family of linear attentions, with the state held transposed, S [dk, dv]:
//   S_t = (diag(w_t) - b_t a_tᵀ) S_{t-1} + k_t (s_t v_t)ᵀ,   y_t = S_tᵀ q_t + D v_t        w_t = exp(log_decay_t)
// q, k [T, G, dk], a, b [T, H, dk], v, y [T, H, dv]; head h uses q and k of group h / (H/G); state [H, dk, dv] f32. Heads and tokens may
// have any strides, channels have stride 1. y lies apart from q, k, a and b.
struct RecurrenceArgs {
  Tensor log_decay{};              // [T or 1, H, dk or 1] f32, at most 0
  Tensor a{}, b{};                 // delta rule: what a reads from the state is taken away along b; both or neither
  Tensor value_scale{};            // s [T, H] f32
  Tensor skip{};                   // D [H] f32
  bool read_before_write = false;  // y_t = S_{t-1}ᵀ q_t, as RWKV-5 and 6 do
  // What the caller knows all log decays to be at least; forms in chunks need a bound.
  float least_log_decay = -std::numeric_limits<float>::infinity();
};
void linear_recurrence(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const RecurrenceArgs& args, const Tensor& state,
                       const Tensor& y);

// Mamba-1's scan, a diagonal state of N values a channel:   h_t = exp(Δ_t A) h_{t-1} + Δ_t x_t B_t,   y_t = C_tᵀ h_t + D x_t
// x, y [T, C]; delta [T, C] f32; A [N, C] f32, negative; B, c [T, N] like x; D [C] f32; state [N, C] f32.
struct SelectiveScanArgs {
  Tensor delta, A, B, c, D;
};
void selective_scan(Context& ctx, const Tensor& x, const SelectiveScanArgs& args, const Tensor& state, const Tensor& y);

// RWKV-4's average of values weighted by exp(key), with a decay and a bonus u for the current token, channel by channel:
//   y_t = (Σ_{s<t} e^{(t-1-s) l + k_s} v_s + e^{u + k_t} v_t) / (the same with 1 for v)
// k, v, y [T, C]; log_decay l <= 0 and u [C] f32; state [3, C] f32: the two sums over e^m, and the largest exponent m (start: 0, 0, -1e30).
void weighted_average(Context& ctx, const Tensor& k, const Tensor& v, const Tensor& log_decay, const Tensor& u, const Tensor& state,
                      const Tensor& y);

// y_t = act(bias + Σ_j w[j] ⊙ x_{t-K+1+j}).   x, y [T, C]; w [K, C] f32; state [K-1, C] f32 holds the inputs before the first.
void causal_conv1d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                   Activation activation);

// y_t = x_{t-1}.   x, y [T, C]; state [C] f32 is the row before the first and becomes the last row.
void token_shift(Context& ctx, const Tensor& x, const Tensor& state, const Tensor& y);

// y = a + (b - a) ⊙ m     rows of C; m [C] f32, or like a. y may be any of them.
void lerp(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y);

// y = residual + scale ⊙ f(x + bias)     rows of C; x may have another type than y, and may be y or residual where the types are equal.
enum class Function : uint8_t { kIdentity, kExp, kTanh, kSigmoid, kSilu, kSoftplus, kReluSquared };
struct ElementwiseArgs {
  Function function = Function::kIdentity;
  Tensor bias{};      // [C] f32
  Tensor scale{};     // [C] f32
  Tensor residual{};  // like y, may be y
};
void elementwise(Context& ctx, const Tensor& x, const Tensor& y, const ElementwiseArgs& args);

// y = (x - mean) · rsqrt(mean((x - mean)²) + eps) ⊙ w + bias over consecutive groups of C/groups channels; without centring the mean counts
// as 0 (RMS norm). Layer norm is one group.   x may have another type than y, and may be y where the types are equal.
struct GroupNormArgs {
  Tensor bias{};  // [C] f32
  int64_t groups = 1;
  float eps = 1e-5f;
  bool centre = true;
};
void group_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args = {});

// y_h = (x ⊙ w)_h / max(‖(x ⊙ w)_h‖, eps) for each of the consecutive heads of C/heads channels. w [C] f32; y may be x.
void normalize_heads(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, int64_t heads, float eps = 1e-12f);

// y = residual + f(x Wᵀ + bias) for several products that do not need each other.   x [rows, in] of w's type; y [rows, out] and the
// residual like it, which may be y, of any float type. No y may be another's x.
struct Projection {
  Tensor x;
  const Weight* w = nullptr;
  Tensor y;
  Tensor bias{};  // [out] f32
  Function function = Function::kIdentity;
  Tensor residual{};
};
void project(Context& ctx, std::span<const Projection> projections);

// h = LN(x), y_i = h_t + (h_{t-1} - h_t) ⊙ m_i: the inputs of an RWKV layer, each a mix of a token and the one before.
// x [T, C] f32 or of y's type; w, bias, m_i [C] f32; y_i [T, C]; state [C] f32 is h before the first token and becomes the last h.
struct Mix {
  Tensor m, y;
};
void mix_with_previous(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, std::span<const Mix> mixes);

// What RWKV-7 makes of its projections before its memory takes them (arXiv 2503.14456, §4), with σ already applied to share, decay and
// rate:
//   v ← v + (v_first - v) ⊙ share,   log_decay = -e^-½ decay,   kk_h = (k ⊙ k_k)_h / ‖(k ⊙ k_k)_h‖,
//   k ← k + (k ⊙ rate - k) ⊙ k_a,    rate ← kk ⊙ rate           all [T, H·d], decay and log_decay f32
struct Rwkv7Inputs {
  Tensor k, v, rate, decay, kk;  // k, v, rate and decay (as log_decay) are replaced; kk is an output
  Tensor v_first{}, share{};     // both or neither
  Tensor k_k, k_a;               // [H·d] f32
  int64_t heads = 0;
};
void rwkv7_inputs(Context& ctx, const Rwkv7Inputs& in);

// y ← (GN(y) + v_h · Σ_i q_{h,i} k_{h,i} u_{h,i}) ⊙ g, GN over heads with w and bias [H·d] f32.   q, k, v, g, y [T, H·d]; u [H, d] f32
struct Rwkv7Outputs {
  Tensor q, k, v, g, u, w, bias;
  float eps = 64e-5f;
};
void rwkv7_outputs(Context& ctx, const Rwkv7Outputs& args, const Tensor& y);

// All between RWKV-7's projections into its heads and the one out of them: rwkv7_inputs, linear_recurrence with a = kk and b = rate, and
// rwkv7_outputs, whose k and v are the inputs'. What rwkv7_inputs replaces may be replaced or not.   y [T, H·d]; state [H, d, d] f32
void rwkv7_heads(Context& ctx, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y);

// All between Mamba-2's convolution and its gated norm: with s = softplus(step + step_bias), linear_recurrence with log_decay = s · rate
// and value_scale = s, then y ← y ⊙ silu(gate).   q, k, v, y, skip and state as linear_recurrence's; step [T, H] and gate like v [T, H,
// dv]; step_bias, rate [H] f32, rates negative
struct Mamba2Heads {
  Tensor q, k, v, step, gate, step_bias, rate, skip;
};
void mamba2_heads(Context& ctx, const Mamba2Heads& in, const Tensor& state, const Tensor& y);

// y_h += v_h · Σ_i q_{h,i} k_{h,i} u_{h,i}, what a token gives to itself in RWKV-5 to 7.   all [T, H·d]; u [H, d] f32
void add_bonus(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& u, const Tensor& y);

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
