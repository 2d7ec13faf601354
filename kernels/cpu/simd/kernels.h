// kernels/cpu/simd/kernels.h: the table of vectorised kernels, one instance for each instruction set.
//
// The sources of this folder are compiled once per instruction set, each time in its own namespace (LINEA_ISA). The boundary is plain
// data and function pointers, and those sources include nothing but this header, vec.h and its neighbours: an inline function of a shared
// header compiled there with AVX-512 could be the copy that the linker keeps for everybody (one-definition rule), and would then stop
// older processors.
//
// Kernels are serial. They work on the range of rows, pixels or blocks that the caller gives them; no result depends on the range.
// Pitches and strides are in elements.
#pragma once

#include <cstdint>

namespace linea::cpu {

enum class Element : uint8_t { kF32, kBF16, kF16 };
// The block-quantised types of core/dtype.h.
enum class Block : uint8_t { kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kIQ4_NL, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K };
enum class Act : uint8_t { kNone, kRelu, kSilu, kGeluTanh };  // the values of linea::Activation

struct LayerNormParams {
  const void* x;
  void* y;
  const float *scale, *shift;  // a row for every `tokens` rows of x
  int64_t x_pitch, y_pitch, scale_pitch, shift_pitch, tokens, dim;
  float eps;
  Element type;
};

struct RmsNormParams {
  const void *x, *residual;  // residual may be null
  void* y;
  const float *w, *bias;  // bias may be null
  int64_t x_pitch, residual_pitch, y_pitch, dim;
  float eps, weight_offset;
  Act act;
  Element type;
};

// y[r] = residual[r] + gate[r / rows_per_gate] ⊙ act(x[r] + bias), any of the parts absent (null).
struct EpilogueParams {
  const void *x, *residual;
  void* y;
  const float *bias, *gate;
  int64_t x_pitch, residual_pitch, y_pitch, gate_pitch, rows_per_gate, dim;
  Act act;
  Element x_type, y_type;  // the residual has y's type
};

struct MultiplyParams {  // y = act(gate) ⊙ up
  const void *gate, *up;
  void* y;
  int64_t gate_pitch, up_pitch, y_pitch, dim;
  Act act;
  Element type;
};

struct AddParams {  // y = a + b
  const void *a, *b;
  void* y;
  int64_t a_pitch, b_pitch, y_pitch, dim;
  Element type, b_type;
  int64_t b_rows;  // row r of y takes row r mod b_rows of b
};

struct EmbeddingParams {
  const void* table;
  const int32_t* ids;
  void* y;
  int64_t y_pitch, dim;
  float scale;
  Element table_type, type;
};

struct CombinationParams {
  const float* x[4];
  float coefficient[4];
  int terms;
  float* y;
};

struct RotaryParams {  // cos, sin [N, half] of each row's angles
  void* x;
  const float *cos, *sin;
  int64_t token_stride, head_stride, heads, half;
  Element type;
};

// y[m, n] = epilogue(Σ_k x[m, k] w[n, k]); w has x's type, or 16 bits where that is f32.
struct GemmParams {
  const void *x, *w, *residual;
  void* y;
  const float *bias, *gate;
  int64_t x_pitch, residual_pitch, y_pitch, gate_pitch, rows_per_gate;
  int64_t rows, in, out;
  Act act;
  Element type, w_type, y_type;  // the residual has y's type
};

// 256 elements of eight rows of a block-quantised matrix (interleaved.h). Four codes of each row are a vector of 32 bytes; in what order
// they come, and which halves and pairs of bits are of which element: as in one row's block (core/quantized.cpp).
inline constexpr int kInterleavedRows = 8, kInterleavedElements = 256;
struct alignas(16) InterleavedQ4K {
  uint16_t scale[8], offset[8];         // halves
  uint8_t scales[8][8], offsets[8][8];  // of groups of 32, [group][row]
  uint8_t codes[4][8][32];
};
struct alignas(16) InterleavedQ5K {
  uint16_t scale[8], offset[8];
  uint8_t scales[8][8], offsets[8][8];
  uint8_t high[8][32];  // bit g of a byte: the fifth one of its element in group g
  uint8_t codes[4][8][32];
};
struct alignas(16) InterleavedQ6K {
  uint16_t scale[8];
  int8_t scales[16][8];  // of groups of 16
  uint8_t low[2][2][8][32], high[2][8][32];
};
static_assert(sizeof(InterleavedQ4K) == 1184 && sizeof(InterleavedQ5K) == 1440 && sizeof(InterleavedQ6K) == 8 * 210);

// 256 elements of a row of x, x = scale · (2^16 a + 2^8 b + c) with a, b and c of 8 bits: 24 bits of the largest element.
struct alignas(32) SplitBlock {
  int8_t parts[3][kInterleavedElements];  // a, b, c
  float sums_of_16[16], sums_of_32[8];    // of x
  float scale;
};

// The same with integers of 23 bits, for products of many rows (integer_gemm.cpp).
struct alignas(32) FixedBlock {
  int8_t parts[3][kInterleavedElements];
  int32_t centres[16];  // what the centre of w's codes makes of each of its groups
  float sums_of_32[8];  // of the integers
  float scale;
};

// y = epilogue(x Wᵀ) with f32 x and block-quantised w; of `out`, x and w are not used.
struct QuantizedLinearParams {
  const float* x;
  const uint8_t* w;
  const void* interleaved;  // InterleavedQ4K, Q5K or Q6K [⌈out / 8⌉, in / 256] in place of w, or null
  int64_t x_pitch, row_bytes, in;
  Block block;
  GemmParams out;
};

struct GroupedLinearParams {
  const void* x;
  const float* w;  // transposed group by group: [G, d (input), d (output)]
  void* y;
  int64_t x_pitch, y_pitch, groups, group_size;
  Element type;
};

struct DepthwiseParams {
  const void* x;
  const float *w, *bias;
  void* y;
  int64_t height, width, channels, out_height;
  int kernel, pad_top;
  bool gated;
  Element type;
};

// A 3×3 convolution of stride 1, or of an enlarged map, of one map in tiles of 2×2 outputs; see winograd.cpp.
struct WinogradParams {
  const void *x, *residual;    // [height, width, in]; like y, may be null
  void* y;                     // [out_height, out_width, out]
  const float *filter, *bias;  // transformed and packed: [position, panel, in, 2 · lanes]; bias may be null
  int64_t height, width, in, out_height, out_width, out;
  int64_t odd;           // 1 where the first row of tiles lacks its upper outputs
  int64_t top;           // the row of x that the first row of patches begins at
  int64_t tile_columns;  // tiles are counted row by row
  // Of the scratch, in floats, before and after the products: from tile to tile, and from position to position.
  int64_t in_pitch, in_position, out_pitch, out_position;
  bool enlarges;
  Act act;
  Element type;
};

struct LinearAttentionParams {
  const void *q, *k, *v;
  void* y;
  int64_t q_batch, q_token, q_head, k_batch, k_token, k_head, v_batch, v_token, v_head, y_batch, y_token, y_head;
  int64_t head_dim;
  float eps;
  Element type;
};

struct AttentionParams {
  const void *q, *k, *v;
  void* y;
  int64_t q_batch, q_token, q_head, y_batch, y_token, y_head, k_token, k_head, v_token, v_head;
  int64_t head_dim, queries;
  float scale, softcap;
  bool causal;
  int64_t window;  // 0 = all
  Element type;
};

// See ops.h for each rearrangement.
struct RearrangeParams {
  const void* x;
  void* y;
  int64_t width, in_channels, out_channels;  // width of the coarse map; channels of x and y
  Element type;
};

struct ChannelParams {  // rows of `in` channels added to rows of `out` channels
  const void* x;
  void* y;
  int64_t x_pitch, y_pitch, in, out;
  Element type;
};

// See linear_recurrence in ops.h. Absent parts are null; a head or token stride of 0 repeats.
struct RecurrenceParams {
  const void *q, *k, *v, *a, *b;
  void* y;
  const float *log_decay, *value_scale, *skip;
  float* state;  // [H, key_dim, value_dim]
  int64_t q_token, q_head, k_token, k_head, v_token, v_head, a_token, a_head, b_token, b_head, y_token, y_head;
  int64_t decay_token, decay_head, scale_token;
  int64_t tokens, key_dim, value_dim, heads_per_group;
  bool decay_per_channel, read_before_write;
  Element type;
};

struct SelectiveScanParams {  // see selective_scan in ops.h; A and state [states, dim]
  const void *x, *B, *C;
  const float *delta, *A, *D;
  float* state;
  void* y;
  int64_t x_pitch, delta_pitch, B_pitch, C_pitch, y_pitch, tokens, states, dim;
  Element type;
};

struct WeightedAverageParams {  // see weighted_average in ops.h
  const void *k, *v;
  const float *log_decay, *u;
  float* state;
  void* y;
  int64_t k_pitch, v_pitch, y_pitch, tokens, dim;
  Element type;
};

struct CausalConvParams {  // y_t = act(bias + Σ_j w[j] ⊙ x_{t-taps+1+j}); rows before the first come from state [taps - 1, dim]
  const void* x;
  const float *w, *bias, *state;
  void* y;
  int64_t x_pitch, y_pitch, taps, dim;
  Act act;
  Element type;
};

struct LerpParams {  // y = a + (b - a) ⊙ m; m is a row of f32 for all (pitch 0), or rows of `type`, which a and b have
  const void *a, *b, *m;
  void* y;
  int64_t a_pitch, b_pitch, m_pitch, y_pitch, dim;
  Element m_type, type, y_type;
};

enum class Func : uint8_t { kIdentity, kExp, kTanh, kSigmoid, kSilu, kSoftplus, kReluSquared };  // the values of linea::Function

struct ElementwiseParams {  // y = residual + scale ⊙ f(x + bias)
  const void *x, *residual;
  const float *bias, *scale;
  void* y;
  int64_t x_pitch, residual_pitch, y_pitch, dim;
  Func function;
  Element x_type, y_type;
};

struct GroupNormParams {
  const void* x;
  const float *w, *bias;
  void* y;
  int64_t x_pitch, y_pitch, groups, group_size;
  float eps;
  bool centre;
  Element x_type, y_type;
};

struct NormalizeHeadsParams {
  const void* x;
  const float* w;
  void* y;
  int64_t x_pitch, y_pitch, heads, head_dim;
  float eps;
  Element type;
};

struct BonusParams {
  const void *q, *k, *v;
  const float* u;
  void* y;
  int64_t q_pitch, k_pitch, v_pitch, y_pitch, heads, head_dim;
  Element type;
};

inline constexpr int64_t kKeyTile = 64;                                // keys that softmax attention packs and visits together
inline constexpr int64_t kQueryBlock = 32;                             // queries that share a visit
inline constexpr int64_t kDepthwiseRows = 8, kDepthwiseChannels = 64;  // of y, at most, in one call of `depthwise`
inline constexpr int64_t kMaxHeadDim = 512;                            // of both attentions
inline constexpr int64_t kOutputBlock = 16;                            // outputs of one small_linear block
inline constexpr int64_t kGemmRows = 1024, kGemmColumns = 64, kGemmDepth = 512, kGemmStep = 96;
inline constexpr int64_t kGemmScratch = (kGemmColumns + kGemmStep) * kGemmDepth + kGemmRows * kGemmColumns;  // floats

inline constexpr int64_t kQuantizedRows = 256, kQuantizedColumns = 64, kQuantizedDepth = 256;         // of one block of quantized_gemm
inline constexpr int64_t kQuantizedScratch = (kQuantizedDepth + kQuantizedRows) * kQuantizedColumns;  // floats

struct Kernels {
  const char* name;
  int lanes;  // floats in a vector

  void (*modulated_layer_norm)(const LayerNormParams&, int64_t row_begin, int64_t row_end);
  void (*rms_norm)(const RmsNormParams&, int64_t row_begin, int64_t row_end);
  void (*epilogue)(const EpilogueParams&, int64_t row_begin, int64_t row_end);
  void (*multiply_activated)(const MultiplyParams&, int64_t row_begin, int64_t row_end);
  void (*add)(const AddParams&, int64_t row_begin, int64_t row_end);
  void (*embedding)(const EmbeddingParams&, int64_t row_begin, int64_t row_end);
  void (*combine)(const CombinationParams&, int64_t begin, int64_t end);
  void (*rotary)(const RotaryParams&, int64_t token_begin, int64_t token_end);

  void (*small_linear)(const GemmParams&, int64_t block_begin, int64_t block_end);  // few rows; blocks of kOutputBlock outputs
  // Up to kGemmRows × kGemmColumns of y, with kGemmScratch floats.
  void (*gemm_block)(const GemmParams&, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch);
  // Tiles [tile, tile + count), with in_pitch + positions · (in_position + out_position) floats: 16 positions, or 9 of an enlarged map.
  void (*winograd)(const WinogradParams&, int64_t tile, int64_t count, float* scratch);
  void (*quantized_dot)(const QuantizedLinearParams&, int64_t block_begin, int64_t block_end);  // few rows; blocks of kOutputBlock outputs
  // The same for interleaved w, x being `split` [rows, in / 256] before; null where it has no such kernels.
  void (*split_rows)(const QuantizedLinearParams&, SplitBlock* split, int64_t row_begin, int64_t row_end);
  void (*interleaved_dot)(const QuantizedLinearParams&, const SplitBlock* split, int64_t block_begin, int64_t block_end);
  // Up to kQuantizedRows × kQuantizedColumns of y, with kQuantizedScratch floats.
  void (*quantized_gemm)(const QuantizedLinearParams&, int64_t row, int64_t rows, int64_t column, int64_t columns, float* scratch);
  // The same for interleaved w, x being `fixed` [in / 256, rows] before; null where bytes are not multiplied fast enough.
  void (*fix_rows)(const QuantizedLinearParams&, FixedBlock* fixed, int64_t row_begin, int64_t row_end);
  void (*integer_gemm)(const QuantizedLinearParams&, const FixedBlock* fixed, int64_t row, int64_t rows, int64_t column, int64_t columns,
                       float* scratch);
  void (*grouped_linear)(const GroupedLinearParams&, int64_t row_begin, int64_t row_end);
  // Rows of one image, channels of y.
  void (*depthwise)(const DepthwiseParams&, int64_t image, int64_t row_begin, int64_t row_end, int64_t channel_begin, int64_t channel_end);

  // Heads [head_begin, head_end) of tokens [begin, end): each head's sums are overwritten in `state` + head · state_pitch as
  // [d, round_up(d)] and the norm [round_up(d)]. Then the use of a whole sequence's sums.
  void (*linear_attention_state)(const LinearAttentionParams&, int64_t batch, int64_t head_begin, int64_t head_end, int64_t begin,
                                 int64_t end, float* state, int64_t state_pitch);
  void (*linear_attention_apply)(const LinearAttentionParams&, int64_t batch, int64_t head_begin, int64_t head_end, int64_t begin,
                                 int64_t end, const float* state, int64_t state_pitch);
  // Keys [begin, begin + count) of a key head and, from kKeyTile · d on, their values: rows of d.
  void (*attention_pack)(const AttentionParams&, int64_t kv_head, int64_t begin, int64_t count, float* packed);
  // One query block of one head against a segment's packed tiles.
  void (*attention)(const AttentionParams&, int64_t batch, int64_t head, int64_t query_begin, int64_t query_end, int64_t keys,
                    const float* packed, int64_t tile_stride);

  // Rows of coarse pixels, counted over the batch; the fine side has two rows for each.
  void (*pixel_shuffle)(const RearrangeParams&, int64_t row_begin, int64_t row_end);
  void (*pixel_unshuffle)(const RearrangeParams&, int64_t row_begin, int64_t row_end);
  void (*add_downsample_shortcut)(const RearrangeParams&, int64_t row_begin, int64_t row_end);
  void (*add_upsample_shortcut)(const RearrangeParams&, int64_t row_begin, int64_t row_end);
  void (*add_channel_mean)(const ChannelParams&, int64_t row_begin, int64_t row_end);
  void (*add_channel_repeat)(const ChannelParams&, int64_t row_begin, int64_t row_end);

  void (*linear_recurrence)(const RecurrenceParams&, int64_t head_begin, int64_t head_end);
  void (*selective_scan)(const SelectiveScanParams&, int64_t channel_begin, int64_t channel_end);
  void (*weighted_average)(const WeightedAverageParams&, int64_t channel_begin, int64_t channel_end);
  void (*causal_conv1d)(const CausalConvParams&, int64_t row_begin, int64_t row_end);
  void (*lerp)(const LerpParams&, int64_t row_begin, int64_t row_end);
  void (*elementwise)(const ElementwiseParams&, int64_t row_begin, int64_t row_end);
  void (*group_norm)(const GroupNormParams&, int64_t row_begin, int64_t row_end);
  void (*normalize_heads)(const NormalizeHeadsParams&, int64_t row_begin, int64_t row_end);
  void (*add_bonus)(const BonusParams&, int64_t row_begin, int64_t row_end);

  // exp, tanh, sigmoid of arrays: for the tests of their accuracy.
  void (*exponential)(const float* x, float* y, int64_t count);
  void (*hyperbolic_tangent)(const float* x, float* y, int64_t count);
  void (*logistic)(const float* x, float* y, int64_t count);
};

}  // namespace linea::cpu
