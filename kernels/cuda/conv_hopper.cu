// kernels/cuda/conv_hopper.cu: 3×3 convolutions of 16-bit types on sm_90's copy engine and warpgroup products.
//
// Maths    y[pixel, n] = residual + act( Σ_{ky,kx,c} x[pixel + (ky, kx) - 1, c] w[n, ky, kx, c] + bias ). Of a map that is enlarged 2× by
//          repetition, each parity of rows and columns sees only 2×2 different pixels, so it has filters of its own, 2×2, with those that
//          fall together added up: 4/9 of the products.
// Shape    DC-AE's decoder at 1024²: 3×3 at 1024²×128, 512²×256 and 256²×512, six of each: 309 GFLOP a convolution.
// Tiles    by the length of a product: conv_halo.cu, conv_boxes.cu.
// Accuracy products and sums in f32 in one order over K, wherever the tile lies: strips equal the whole. One rounding of the result (two
//          where a residual is added); sums of filters are rounded to the type.
#include "kernels/cuda/conv_hopper.h"

#include <array>
#include <mutex>

#include "kernels/cuda/conv_hopper_kernels.h"
#include "kernels/cuda/device/conv_tile.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/tensor_map.h"

namespace linea::cuda {
namespace {

// filters [4, out, 2, 2, in] from w [out, 3, 3, in]: an even row's window meets one coarse row with its first filter row and the next with
// the other two; an odd row's the other way round. Columns likewise.
template <class T> __global__ void fold_kernel(const T* w, T* folded, int out, int in) {
  const int64_t filter = blockIdx.x;  // (parity · out + n) · 4 + tap
  const int tap = static_cast<int>(filter % 4), n = static_cast<int>(filter / 4 % out), parity = static_cast<int>(filter / 4 / out);
  const auto range = [](int odd, int second, int& from, int& to) {
    from = second ? (odd ? 2 : 1) : 0;
    to = second ? 3 : (odd ? 2 : 1);
  };
  int row_from, row_to, column_from, column_to;
  range(parity / 2, tap / 2, row_from, row_to);
  range(parity % 2, tap % 2, column_from, column_to);
  for (int c = static_cast<int>(threadIdx.x); c < in; c += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int ky = row_from; ky < row_to; ++ky) {
      for (int kx = column_from; kx < column_to; ++kx) sum += to_float(w[((static_cast<int64_t>(n) * 3 + ky) * 3 + kx) * in + c]);
    }
    folded[filter * in + c] = from_float<T>(sum);
  }
}

const Tensor& folded_filters(cudaStream_t stream, const Weight& w) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  Tensor& filters = static_cast<FoldedFilters*>(w.packed.get())->filters;
  if (filters.defined()) return filters;
  const int64_t out = w.shape[0], in = w.shape[1];
  filters = Tensor({4, out, 2, 2, in}, w.data.dtype(), w.data.device());
  with_type(w.data.dtype(), "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    fold_kernel<T><<<static_cast<unsigned>(16 * out), 128, 0, stream>>>(pointer<T>(w.data), pointer<T>(filters), static_cast<int>(out),
                                                                        static_cast<int>(in));
  });
  check_launch("conv2d");
  return filters;
}

// A contiguous tensor, channels first, that is copied in boxes with 64 channels of 16 bits.
template <size_t kRank>
CUtensorMap map_of(DType type, const void* data, const std::array<int64_t, kRank>& dims, const std::array<int, kRank>& box) {
  std::array<int64_t, kRank - 1> pitches;
  int64_t pitch = bytes_of(type);
  for (size_t i = 0; i + 1 < kRank; ++i) pitches[i] = pitch *= dims[i];
  return tensor_map("conv2d", type, data, dims, pitches, box);
}

}  // namespace

bool is_hopper_conv(const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const int64_t out = w.shape[0], in = w.shape[1];
  return x.dtype() != DType::kF32 && w.packed && w.shape[2] == 3 && args.stride == 1 && in % kConvDepth == 0 && out % 8 == 0 && out >= 64 &&
         is_aligned(x.raw(), 0) && is_aligned(y.raw(), 0) && is_aligned(args.residual.raw(), 0) && is_hopper(x.device().index) &&
         has_tensor_maps();
}

void hopper_conv(cudaStream_t stream, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  constexpr int64_t kShortProduct = 9 * 128;  // up to here a block's time beside its products weighs more than shared memory's rate
  const int64_t channels = w.shape[1], out = w.shape[0];
  const bool enlarge = args.upsample_nearest, halo = (enlarge ? 4 : 9) * w.shape[1] <= kShortProduct;
  const Tensor& filters = enlarge ? folded_filters(stream, w) : w.data;
  const int beside = enlarge ? 1 : 2, rows = halo ? kHaloTileRows : kBoxTileRows, columns = halo ? kHaloTileColumns : kBoxTileColumns;
  HopperConvParams p = {};
  p.x = map_of<4>(x.dtype(), x.raw(), {channels, x.dim(2), x.dim(1), x.dim(0)},
                  {kConvDepth, columns + (halo ? beside : 0), rows + (halo ? beside : 0), 1});
  p.w = map_of<2>(x.dtype(), filters.raw(), {channels * (enlarge ? 4 : 9), out * (enlarge ? 4 : 1)},
                  {kConvDepth, halo ? kHaloFilterRows : kBoxFilterRows});
  p.y = y.raw();
  p.residual = args.residual.raw();
  p.bias = floats(args.bias);
  p.channels = static_cast<int>(channels);
  p.out = static_cast<int>(out);
  p.out_height = static_cast<int>(y.dim(1));
  p.out_width = static_cast<int>(y.dim(2));
  // Tiles cover y, or the small map of which y is the enlargement.
  p.row_tiles = static_cast<int>(ceil_div(enlarge ? x.dim(1) : y.dim(1), rows));
  p.column_tiles = static_cast<int>(ceil_div(enlarge ? x.dim(2) : y.dim(2), columns));
  p.output_tiles = static_cast<int>(ceil_div(w.shape[0], kConvOutputs));
  p.members = static_cast<int>(x.dim(0));
  p.pad_top = args.pad_top < 0 ? 1 : args.pad_top;
  p.activation = args.activation;
  halo ? halo_conv(stream, x.dtype(), enlarge, p) : box_conv(stream, x.dtype(), enlarge, p);
}

}  // namespace linea::cuda
