// kernels/cpu/simd/declare.h: the kernels of one instruction set, by the file that defines them; table.cpp lists them.
#pragma once

#include "kernels/cpu/simd/kernels.h"

namespace linea::cpu::LINEA_ISA {

// norms.cpp
void modulated_layer_norm(const LayerNormParams& p, int64_t row_begin, int64_t row_end);
void rms_norm(const RmsNormParams& p, int64_t row_begin, int64_t row_end);

// rows.cpp
void epilogue(const EpilogueParams& p, int64_t row_begin, int64_t row_end);
void multiply_activated(const MultiplyParams& p, int64_t row_begin, int64_t row_end);
void add(const AddParams& p, int64_t row_begin, int64_t row_end);
void embedding(const EmbeddingParams& p, int64_t row_begin, int64_t row_end);
void combine(const CombinationParams& p, int64_t begin, int64_t end);
void rotary(const RotaryParams& p, int64_t token_begin, int64_t token_end);
void exponential(const float* x, float* y, int64_t count);
void hyperbolic_tangent(const float* x, float* y, int64_t count);
void logistic(const float* x, float* y, int64_t count);

// gemm.cpp
void gemm_block(const GemmParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch);

// small_linear.cpp
void small_linear(const GemmParams& p, int64_t block_begin, int64_t block_end);
void grouped_linear(const GroupedLinearParams& p, int64_t row_begin, int64_t row_end);

// depthwise.cpp
void depthwise(const DepthwiseParams& p, int64_t image, int64_t row_begin, int64_t row_end, int64_t channel_begin, int64_t channel_end);

// quantized_linear.cpp
void quantized_dot(const QuantizedLinearParams& p, int64_t block_begin, int64_t block_end);
void quantized_gemm(const QuantizedLinearParams& p, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch);

// interleaved.cpp
#if defined(__AVX2__)
#define LINEA_INTERLEAVES 1
void split_rows(const QuantizedLinearParams& p, SplitBlock* split, int64_t row_begin, int64_t row_end);
void interleaved_dot(const QuantizedLinearParams& p, const SplitBlock* split, int64_t block_begin, int64_t block_end);
// Rows [column, column + columns) of w, elements [k, k + 256), as a panel of 256 rows of two vectors; beyond them zeros.
void unpack_interleaved(const QuantizedLinearParams& p, int64_t column, int64_t columns, int64_t k, float* panel);
#endif

// linear_attention.cpp
void linear_attention_state(const LinearAttentionParams& p, int64_t batch, int64_t head_begin, int64_t head_end, int64_t begin, int64_t end,
                            float* state, int64_t state_pitch);
void linear_attention_apply(const LinearAttentionParams& p, int64_t batch, int64_t head_begin, int64_t head_end, int64_t begin, int64_t end,
                            const float* state, int64_t state_pitch);

// attention.cpp
void attention_pack(const AttentionParams& p, int64_t kv_head, int64_t begin, int64_t count, float* packed);
void attention(const AttentionParams& p, int64_t batch, int64_t head, int64_t query_begin, int64_t query_end, int64_t keys,
               const float* packed, int64_t tile_stride);

// rearrange.cpp
void pixel_shuffle(const RearrangeParams& p, int64_t row_begin, int64_t row_end);
void pixel_unshuffle(const RearrangeParams& p, int64_t row_begin, int64_t row_end);
void add_downsample_shortcut(const RearrangeParams& p, int64_t row_begin, int64_t row_end);
void add_upsample_shortcut(const RearrangeParams& p, int64_t row_begin, int64_t row_end);
void add_channel_mean(const ChannelParams& p, int64_t row_begin, int64_t row_end);
void add_channel_repeat(const ChannelParams& p, int64_t row_begin, int64_t row_end);

// recurrence.cpp
void linear_recurrence(const RecurrenceParams& p, int64_t head_begin, int64_t head_end);

// scans.cpp
void selective_scan(const SelectiveScanParams& p, int64_t channel_begin, int64_t channel_end);
void weighted_average(const WeightedAverageParams& p, int64_t channel_begin, int64_t channel_end);

// recurrent_rows.cpp
void causal_conv1d(const CausalConvParams& p, int64_t row_begin, int64_t row_end);
void lerp(const LerpParams& p, int64_t row_begin, int64_t row_end);
void elementwise(const ElementwiseParams& p, int64_t row_begin, int64_t row_end);
void group_norm(const GroupNormParams& p, int64_t row_begin, int64_t row_end);
void normalize_heads(const NormalizeHeadsParams& p, int64_t row_begin, int64_t row_end);
void add_bonus(const BonusParams& p, int64_t row_begin, int64_t row_end);

// winograd.cpp
void winograd(const WinogradParams& p, int64_t tile, int64_t count, float* scratch);

// table.cpp
const Kernels& kernels();

}  // namespace linea::cpu::LINEA_ISA
