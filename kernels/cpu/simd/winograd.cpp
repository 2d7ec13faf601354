// 3×3 convolutions in fewer multiplications: tiles of 2×2 outputs by minimal filtering.
//
// Maths    Y = Aᵀ [ Σ_c U_c ⊙ (Bᵀ D_c B) ] A: patches D of x and filters U = G g Gᵀ are transformed channel by channel, so that the
//          sum over channels is a matrix product at each position of the patch. In one dimension:
//            F(2, 3), Winograd 1980; Lavin & Gray, arXiv 1509.09308, §4.1: 16 products for four outputs in place of 36
//              Bᵀd = (d₀ - d₂, d₁ + d₂, d₂ - d₁, d₁ - d₃)    Gg = (g₀, (g₀ + g₁ + g₂)/2, (g₀ - g₁ + g₂)/2, g₂)
//              Aᵀm = (m₀ + m₁ + m₂, m₁ - m₂ - m₃)
//            of a map enlarged by repetition, whose outputs 2h and 2h + 1 read d₀ d₁ d₁ and d₁ d₁ d₂ around d₁ = x[h]: 9 products for four
//            outputs, in place of 16 of the four 2×2 convolutions
//              Bᵀd = (d₀ - d₁, d₁, d₂ - d₁)    Gg = (g₀, g₀ + g₁ + g₂, g₂)    Aᵀm = (m₀ + m₁, m₁ + m₂)
// Shape    the decoder's last blocks at 512²: 65536 tiles, 128 channels to 128.
// Tiles    a task is up to WinogradParams::tiles tiles: patches → scratch [position, tile, in], products with packed panels of the filter
//          → scratch [position, tile, out], those → y. A panel of kDepth × 2 vectors stays in the first-level cache while the tiles
//          pass, the scratch in the second.
// Order    each product's sum is one chain over the channels, and a tile is computed the same way wherever it lies: nothing depends on the
//          task. An output reads neither the patch's first row (the lower one) nor its last (the upper one), so that half a tile at a
//          strip's end has the bits of the whole.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/gemm_tile.h"
#include "kernels/cpu/simd/math.h"

namespace linea::cpu::LINEA_ISA {
namespace {

constexpr int64_t kDepth = kBytes == 64 ? 128 : 256;  // so that a panel is half of the first-level cache

struct SameSize {
  static constexpr int kPatch = 4, kStep = 2;  // rows and columns of a patch, and from one to the next
  static void transform_input(F32s (&d)[kPatch]) {
    const F32s d1 = d[1], d2 = d[2];
    d[0] -= d2;
    d[1] = d1 + d2;
    d[2] = d2 - d1;
    d[3] = d1 - d[3];
  }
  static void transform_output(const F32s (&m)[kPatch], F32s& first, F32s& second) {
    first = m[0] + m[1] + m[2];
    second = m[1] - m[2] - m[3];
  }
};

struct Enlarging {
  static constexpr int kPatch = 3, kStep = 1;
  static void transform_input(F32s (&d)[kPatch]) {
    d[0] -= d[1];
    d[2] -= d[1];
  }
  static void transform_output(const F32s (&m)[kPatch], F32s& first, F32s& second) {
    first = m[0] + m[1];
    second = m[1] + m[2];
  }
};

// Tiles [begin, begin + count) of the map; `zeros` stands for pixels outside of it.
template <class Form, class T>
void transform_inputs(const WinogradParams& p, int64_t begin, int64_t count, const float* zeros, float* transformed) {
  constexpr int kPatch = Form::kPatch;
  for (int64_t tile = begin; tile < begin + count; ++tile, transformed += p.in_pitch) {
    const int64_t top = p.top + tile / p.tile_columns * Form::kStep, left = tile % p.tile_columns * Form::kStep - 1;
    const T* pixels[kPatch][kPatch];
    for (int i = 0; i < kPatch; ++i) {
      for (int j = 0; j < kPatch; ++j) {
        const int64_t row = top + i, column = left + j;
        const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
        pixels[i][j] = inside ? static_cast<const T*>(p.x) + (row * p.width + column) * p.in : reinterpret_cast<const T*>(zeros);
      }
    }
    for_vectors(p.in, [&](int64_t channel, auto lanes) {
      F32s d[kPatch][kPatch];
#pragma GCC unroll 4
      for (int i = 0; i < kPatch; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kPatch; ++j) d[i][j] = load(pixels[i][j] + channel, lanes);
        Form::transform_input(d[i]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < kPatch; ++j) {
        F32s column[kPatch];
#pragma GCC unroll 4
        for (int i = 0; i < kPatch; ++i) column[i] = d[i][j];
        Form::transform_input(column);
#pragma GCC unroll 4
        for (int i = 0; i < kPatch; ++i) store(transformed + (i * kPatch + j) * p.in_position + channel, column[i]);
      }
    });
  }
}

template <class Form> void multiply(const WinogradParams& p, int64_t count, const float* transformed, float* products) {
  constexpr int64_t kPanel = 2 * kLanes;
  const int64_t panels = (p.out + kPanel - 1) / kPanel;
  for (int64_t position = 0; position < Form::kPatch * Form::kPatch; ++position) {
    for (int64_t k = 0; k < p.in; k += kDepth) {
      const int64_t depth = p.in - k < kDepth ? p.in - k : kDepth;
      for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t rest = round_up(p.out - panel * kPanel);
        const GemmOperands g = {transformed + position * p.in_position + k,
                                p.in_pitch,
                                1,
                                p.filter + ((position * panels + panel) * p.in + k) * kPanel,
                                kPanel,
                                products + position * p.out_position + panel * kPanel,
                                p.out_pitch,
                                depth};
        k == 0 ? gemm<false>(g, count, rest < kPanel ? rest : kPanel) : gemm<true>(g, count, rest < kPanel ? rest : kPanel);
      }
    }
  }
}

template <class Form, class T, Act kAct>
void transform_outputs(const WinogradParams& p, int64_t begin, int64_t count, const float* products) {
  constexpr int kPatch = Form::kPatch;
  for (int64_t tile = begin; tile < begin + count; ++tile, products += p.out_pitch) {
    const int64_t row = tile / p.tile_columns * 2 - p.odd, column = tile % p.tile_columns * 2;
    const bool exists[2][2] = {{row >= 0, row >= 0 && column + 1 < p.out_width},
                               {row + 1 < p.out_height, row + 1 < p.out_height && column + 1 < p.out_width}};
    for_vectors(p.out, [&](int64_t channel, auto lanes) {
      F32s upper[kPatch], lower[kPatch], sums[2][2];
#pragma GCC unroll 4
      for (int j = 0; j < kPatch; ++j) {
        F32s m[kPatch];
#pragma GCC unroll 4
        for (int i = 0; i < kPatch; ++i) m[i] = load(products + (i * kPatch + j) * p.out_position + channel);
        Form::transform_output(m, upper[j], lower[j]);
      }
      Form::transform_output(upper, sums[0][0], sums[0][1]);
      Form::transform_output(lower, sums[1][0], sums[1][1]);
      const F32s bias = p.bias ? load(p.bias + channel, lanes) : F32s{};
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
          if (!exists[i][j]) continue;
          const int64_t at = ((row + i) * p.out_width + column + j) * p.out + channel;
          F32s v = activate<kAct>(sums[i][j] + bias);
          if (p.residual) v += load(static_cast<const T*>(p.residual) + at, lanes);
          store(static_cast<T*>(p.y) + at, v, lanes);
        }
      }
    });
  }
}

template <class Form, class T> void convolve_tiles(const WinogradParams& p, int64_t begin, int64_t count, float* scratch) {
  float* const zeros = scratch;
  float* const transformed = zeros + p.in_pitch;
  float* const products = transformed + Form::kPatch * Form::kPatch * p.in_position;
  for (int64_t i = 0; i < p.in; ++i) zeros[i] = 0;
  transform_inputs<Form, T>(p, begin, count, zeros, transformed);
  multiply<Form>(p, count, transformed, products);
  with_act(p.act, [&](auto act) { transform_outputs<Form, T, decltype(act)::value>(p, begin, count, products); });
}

}  // namespace

void winograd(const WinogradParams& p, int64_t tile, int64_t count, float* scratch) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    p.enlarges ? convolve_tiles<Enlarging, T>(p, tile, count, scratch) : convolve_tiles<SameSize, T>(p, tile, count, scratch);
  });
}

}  // namespace linea::cpu::LINEA_ISA
