// The table of this instruction set's kernels.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/vec.h"

#define LINEA_QUOTE(name) #name
#define LINEA_NAME(name) LINEA_QUOTE(name)

namespace linea::cpu::LINEA_ISA {
namespace {

#if LINEA_INTERLEAVES
constexpr auto kSplitRows = split_rows;
constexpr auto kInterleavedDot = interleaved_dot;
#else
constexpr decltype(Kernels::split_rows) kSplitRows = nullptr;
constexpr decltype(Kernels::interleaved_dot) kInterleavedDot = nullptr;
#endif

}  // namespace

const Kernels& kernels() {
  static constexpr Kernels table = {
      .name = LINEA_NAME(LINEA_ISA),
      .lanes = kLanes,
      .modulated_layer_norm = modulated_layer_norm,
      .rms_norm = rms_norm,
      .epilogue = epilogue,
      .multiply_activated = multiply_activated,
      .add = add,
      .embedding = embedding,
      .combine = combine,
      .rotary = rotary,
      .small_linear = small_linear,
      .gemm_block = gemm_block,
      .winograd = winograd,
      .quantized_dot = quantized_dot,
      .split_rows = kSplitRows,
      .interleaved_dot = kInterleavedDot,
      .quantized_gemm = quantized_gemm,
      .fix_rows = nullptr,
      .integer_gemm = nullptr,
      .grouped_linear = grouped_linear,
      .depthwise = depthwise,
      .linear_attention_state = linear_attention_state,
      .linear_attention_apply = linear_attention_apply,
      .attention_pack = attention_pack,
      .attention = attention,
      .pixel_shuffle = pixel_shuffle,
      .pixel_unshuffle = pixel_unshuffle,
      .add_downsample_shortcut = add_downsample_shortcut,
      .add_upsample_shortcut = add_upsample_shortcut,
      .add_channel_mean = add_channel_mean,
      .add_channel_repeat = add_channel_repeat,
      .linear_recurrence = linear_recurrence,
      .selective_scan = selective_scan,
      .weighted_average = weighted_average,
      .causal_conv1d = causal_conv1d,
      .lerp = lerp,
      .elementwise = elementwise,
      .group_norm = group_norm,
      .normalize_heads = normalize_heads,
      .add_bonus = add_bonus,
      .exponential = exponential,
      .hyperbolic_tangent = hyperbolic_tangent,
      .logistic = logistic,
  };
  return table;
}

}  // namespace linea::cpu::LINEA_ISA
