// kernels/cpu/onednn.h: the only door to oneDNN (2.6 and 3.x): matrix products and convolutions on plain pointers.
//
// Primitives are cached by everything that shapes them; the functions are thread safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cpu/simd/kernels.h"

namespace linea::cpu::onednn {

// "2.6.3"
std::string version();

// Keeps oneDNN's generated code within an instruction set: "v2", "avx2", "avx512" or "avx512_vnni". Only before the first primitive.
void limit_isa(const char* isa_name);

// Whether convolutions of this type run natively (bf16 does with AVX-512; f16 does not in 2.6).
bool is_native(Element type);
// Whether `matmul` keeps its promise below for this type: oneDNN's older products (before AVX-512) do not.
bool has_matmul(Element type);
// Whether the processor has matrix units for bf16 (AMX), several times as fast as f32: worth its rounding without being asked.
bool has_bf16_matrices();

// The order in which products in bf16 read w [out, in] without rearranging it first: panels of 48 outputs, two inputs side by side.
class PackedLayout {
 public:
  struct Descriptors;
  explicit PackedLayout(std::unique_ptr<Descriptors> descriptors);
  ~PackedLayout();
  int64_t bytes() const;
  // On all threads; packed memory has bytes().
  void pack(const void* w, void* to) const;
  void unpack(const void* packed, void* to) const;
  const Descriptors& descriptors() const { return *descriptors_; }

 private:
  std::unique_ptr<Descriptors> descriptors_;
};
// One for each shape, kept for good. Only where has_matmul(bf16).
std::shared_ptr<const PackedLayout> packed_layout(int64_t out, int64_t in);

// y = [y +] gate ⊙ act(x Wᵀ + bias)    x [rows, in], w [out, in], y [rows, out]
struct Matmul {
  const void *x, *w;
  void* y;
  const float *bias, *gate;  // [out] or null
  int64_t rows, in, out, x_pitch;
  const PackedLayout* w_layout;  // null: [out, in]. Slower where rows of y have a pitch
  int64_t y_pitch;
  Act act;
  bool accumulate;
  Element type, y_type;  // of x and w; of y
};
// Uses all threads. Bits depend neither on their number nor on `rows`: the batch-reduce product sums each output along k in one order
// (tested), nor on the layout of w.
void matmul(const Matmul& call);

// A filter bank [out, in, kh, kw] with its packed forms, made on first use (the best layout can differ between shapes).
class Filter {
 public:
  Filter(std::shared_ptr<const void> plain, int64_t out, int64_t in, int64_t kernel_height, int64_t kernel_width, Element type);
  ~Filter();
  struct Packed;

  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  int64_t kernel_height() const { return kernel_height_; }
  int64_t kernel_width() const { return kernel_width_; }
  Element type() const { return type_; }
  const void* plain() const { return plain_.get(); }
  Packed& packed() { return *packed_; }

 private:
  std::shared_ptr<const void> plain_;
  int64_t out_, in_, kernel_height_, kernel_width_;
  Element type_;
  std::unique_ptr<Packed> packed_;
};

// y = [y +] act(conv(x) + bias) of one map, x [height, width, in] of the filter's type, y [out_height, out_width, out].
struct Convolution {
  const void* x;
  void* y;
  const float* bias;
  int64_t height, width, out_height, out_width, stride, pad_top, pad_bottom, pad_left, pad_right;
  Act act;
  bool accumulate;
  Element y_type;
};
// Serial: the caller divides a map into strips of rows, which have the bits of the whole.
void convolve(Filter& filter, const Convolution& call);

}  // namespace linea::cpu::onednn
