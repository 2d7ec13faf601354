// Checks every op's arguments once, for all backends, and dispatches.
#include "kernels/ops.h"

#include "core/error.h"
#include "kernels/backend.h"

namespace linea {
namespace {

template <class... Tensors> [[noreturn]] void fail(const char* op, const char* expectation, const Tensors&... tensors) {
  std::string found;
  ((found += (found.empty() ? "" : ", ") + tensors.describe()), ...);
  throw Error(ErrorKind::kInternal, std::string(op) + ": expected " + expectation + ", got " + found);
}

bool is_vector(const Tensor& t, int64_t size) { return t.dtype() == DType::kF32 && t.elements() == size && t.is_contiguous(); }

bool is_optional_vector(const Tensor& t, int64_t size) { return !t.defined() || is_vector(t, size); }

bool is_activation(DType type) { return type == DType::kF32 || type == DType::kBF16 || type == DType::kF16; }

// What a product reads: rows of y's type, or e4m3 with a scale for each where the matrix takes them.
bool is_product_rows(const Tensor& x, const Tensor& scales, const Weight& w, const Tensor& y) {
  if (!scales.defined()) return x.dtype() == y.dtype();
  return x.dtype() == DType::kF8E4M3 && w.data.dtype() == DType::kF8E4M3 && x.row_pitch() == x.dim(-1) && is_vector(scales, x.rows());
}

// What attention gives for q [B, N, H, d]: like q, or e4m3 with a scale for each row of heads.
bool is_attended(const Tensor& q, const ProductRows& y) {
  if (y.values.shape() != q.shape() || y.values.stride(3) != 1) return false;
  if (!y.scales.defined()) return y.values.dtype() == q.dtype();
  return y.values.dtype() == DType::kF8E4M3 && y.values.is_contiguous() && is_vector(y.scales, q.dim(0) * q.dim(1));
}

// Of a matrix that is fit for products: its form in 8-bit floats where the context wants that.
Weight checked_narrow(Context& ctx, const Tensor& w) {
  if (w.rank() != 2 || !w.is_contiguous()) fail("prepare_linear", "a matrix [out, in]", w);
  return ctx.fp8 ? ctx.backend->prepare_fp8_linear(w) : Weight();
}

bool same_rows(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && a.dtype() == b.dtype() && b.has_row_pitch(); }

}  // namespace

Weight prepare_linear(Context& ctx, const Tensor& w) {
  const Weight narrow = checked_narrow(ctx, w);
  return narrow.defined() ? narrow : ctx.backend->prepare_linear(w);
}

Weight prepare_packed_linear(Context& ctx, const Tensor& w) {
  const Weight narrow = checked_narrow(ctx, w);
  return narrow.defined() ? narrow : ctx.backend->prepare_packed_linear(w);
}

Weight prepare_conv2d(Context& ctx, const Tensor& w) {
  if (w.rank() != 4 || !w.is_contiguous()) fail("prepare_conv2d", "a filter bank [out, in, kh, kw]", w);
  return ctx.backend->prepare_conv2d(w);
}

ProductRows ProductRows::reshape(Shape shape) const {
  const Tensor rows = values.reshape(shape);
  if (!scales.defined()) return rows;
  Shape leading;
  for (int i = 0; i + 1 < shape.rank(); ++i) leading.push_back(shape[i]);
  return {rows, scales.reshape(leading)};
}

ProductRows ProductRows::slice(int dimension, int64_t start, int64_t count) const {
  return {values.slice(dimension, start, count), scales.defined() ? scales.slice(dimension, start, count) : Tensor()};
}

ProductRows rows_for(const Weight& w, const Tensor& space) {
  constexpr int64_t kAlignment = 256, kShortest = 512;  // shorter rows leave too little for the scales
  LINEA_ASSERT(space.is_contiguous());
  if (w.data.dtype() != DType::kF8E4M3 || space.dtype() == DType::kF32 || space.dim(-1) < kShortest) return space;
  Shape leading;
  for (int i = 0; i + 1 < space.rank(); ++i) leading.push_back(space.dim(i));
  char* after = static_cast<char*>(space.raw()) + (space.elements() + kAlignment - 1) / kAlignment * kAlignment;
  return {Tensor(space.raw(), space.shape(), DType::kF8E4M3, space.device(), space.owner()),
          Tensor(after, leading, DType::kF32, space.device(), space.owner())};
}

void upload(Context& ctx, std::span<const float> values, const Tensor& y) {
  if (y.dtype() != DType::kF32 || !y.is_contiguous() || y.elements() != static_cast<int64_t>(values.size())) {
    fail("upload", "a contiguous f32 tensor of the values' number", y);
  }
  if (!ctx.planning()) allocator_of(y.device()).copy_from_host(y.raw(), values.data(), y.bytes());
}

Tensor download(Context& ctx, const Tensor& x) {
  if (!x.is_contiguous()) fail("download", "a contiguous tensor", x);
  Tensor result(x.shape(), x.dtype());
  if (ctx.planning()) return result;
  ctx.backend->synchronize();
  allocator_of(x.device()).copy_to_host(result.raw(), x.raw(), x.bytes());
  return result;
}

void linear(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs& args) {
  const int64_t in = w.shape[1], out = w.shape[0];
  if (!x.has_row_pitch() || !y.has_row_pitch() || x.dim(-1) != in || y.dim(-1) != out || x.rows() != y.rows() ||
      !is_product_rows(x, args.x_scales, w, y) || !is_activation(y.dtype())) {
    fail("linear", "x [rows, in], w [out, in], y [rows, out] of one type, or x and w of e4m3 with scales", x, w.data, y, args.x_scales);
  }
  if (!is_optional_vector(args.bias, out)) fail("linear", "bias [out] f32", args.bias);
  if (args.residual.defined() && !(args.residual.rows() == y.rows() && args.residual.dim(-1) == out && args.residual.has_row_pitch())) {
    fail("linear", "residual like y", args.residual, y);
  }
  if (args.gate.defined() && !(args.residual.defined() && args.gate.dtype() == DType::kF32 && args.gate.rank() == 2 &&
                               args.gate.dim(1) == out && args.gate.has_row_pitch() && y.rows() % args.gate.dim(0) == 0)) {
    fail("linear", "gate [B, out] f32 with a residual", args.gate, y);
  }
  ctx.backend->linear(ctx, x, w, y, args);
}

void grouped_linear(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y) {
  if (!x.has_row_pitch() || !same_rows(x, y) || w.rank() != 2 || w.dim(0) != x.dim(-1) || w.dtype() != DType::kF32 ||
      x.dim(-1) % w.dim(1) != 0) {
    fail("grouped_linear", "x, y [rows, G·d] and w [G·d, d] f32", x, w, y);
  }
  if (!ctx.planning()) ctx.backend->grouped_linear(ctx, x, w, y);
}

void conv2d(Context& ctx, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs& args) {
  const int64_t out = w.shape[0], in = w.shape[1], kernel = w.shape[2];
  if (x.rank() != 4 || y.rank() != 4 || !x.is_contiguous() || !y.is_contiguous() || x.dim(3) != in || y.dim(3) != out ||
      x.dtype() != y.dtype() || x.dim(0) != y.dim(0) || w.shape[3] != kernel || kernel % 2 == 0) {
    fail("conv2d", "x [B, H, W, in], w [out, in, k, k], y [B, H', W', out]", x, w.data, y);
  }
  const int64_t scale = args.upsample_nearest ? 2 : 1, half = kernel / 2;
  const int64_t top = args.pad_top < 0 ? half : args.pad_top, bottom = args.pad_bottom < 0 ? half : args.pad_bottom;
  const int64_t height = (x.dim(1) * scale + top + bottom - kernel) / args.stride + 1;
  const int64_t width = (x.dim(2) * scale + 2 * half - kernel) / args.stride + 1;
  if (y.dim(1) != height || y.dim(2) != width) fail("conv2d", "y of the convolved size", x, w.data, y);
  if (!is_optional_vector(args.bias, out)) fail("conv2d", "bias [out] f32", args.bias);
  if (args.residual.defined() && !(same_rows(y, args.residual) && args.residual.is_contiguous())) {
    fail("conv2d", "residual like y", args.residual, y);
  }
  ctx.backend->conv2d(ctx, x, w, y, args);
}

void depthwise_conv2d(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs& args) {
  if (x.rank() != 4 || y.rank() != 4 || !x.is_contiguous() || !y.is_contiguous() || w.rank() != 3 || w.dim(2) != x.dim(3) ||
      w.dim(0) != w.dim(1) || w.dim(0) % 2 == 0 || w.dtype() != DType::kF32 || x.dtype() != y.dtype() || x.dim(0) != y.dim(0) ||
      x.dim(2) != y.dim(2) || y.dim(3) * (args.gated ? 2 : 1) != x.dim(3)) {
    fail("depthwise_conv2d", "x [B, H, W, C], w [k, k, C] f32, y [B, H, W, C or C/2]", x, w, y);
  }
  const int64_t half = w.dim(0) / 2;
  const int64_t top = args.pad_top < 0 ? half : args.pad_top, bottom = args.pad_bottom < 0 ? half : args.pad_bottom;
  if (y.dim(1) != x.dim(1) + top + bottom - 2 * half) fail("depthwise_conv2d", "y of the convolved height", x, w, y);
  if (!is_optional_vector(args.bias, x.dim(3))) fail("depthwise_conv2d", "bias [C] f32", args.bias);
  if (!ctx.planning()) ctx.backend->depthwise_conv2d(ctx, x, w, y, args);
}

void expand_depthwise(Context& ctx, const Tensor& x, const Weight& w, const Tensor& filters, const ProductRows& y, const ExpandArgs& args) {
  const bool narrow = y.scales.defined();
  const bool fits = narrow ? y.values.dtype() == DType::kF8E4M3 && y.values.is_contiguous() && is_vector(y.scales, y.values.rows())
                           : is_product_rows(x, args.x_scales, w, y.values);
  if (x.rank() != 4 || x.dim(3) != w.shape[1] || filters.rank() != 3 || filters.dim(2) != w.shape[0] || !x.has_row_pitch() || !fits ||
      !is_optional_vector(args.bias, w.shape[0])) {
    fail("expand_depthwise", "x [B, H, W, D], w [C, D], filters [k, k, C], bias [C] f32", x, w.data, filters, args.bias);
  }
  ctx.backend->expand_depthwise(ctx, x, w, filters, y, args);
}

void modulated_layer_norm(Context& ctx, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y, float eps) {
  const bool fits = y.scales.defined() ? x.shape() == y.values.shape() && y.values.dtype() == DType::kF8E4M3 && y.values.is_contiguous() &&
                                             is_vector(y.scales, x.rows())
                                       : same_rows(x, y.values);
  if (x.rank() != 3 || !x.has_row_pitch() || !fits) fail("modulated_layer_norm", "x, y [B, N, D]", x, y.values, y.scales);
  for (const Tensor* row : {&scale, &shift}) {
    if (row->dtype() != DType::kF32 || row->rank() != 2 || row->shape() != scale.shape() || x.dim(0) % row->dim(0) != 0 ||
        row->dim(1) != x.dim(2) || !row->has_row_pitch()) {
      fail("modulated_layer_norm", "scale, shift [B or 1, D] f32", x, scale, shift);
    }
  }
  if (!ctx.planning()) ctx.backend->modulated_layer_norm(ctx, x, scale, shift, y, eps);
}

void rms_norm(Context& ctx, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs& args) {
  if (!x.has_row_pitch() || !same_rows(x, y) || !is_vector(w, x.dim(-1))) fail("rms_norm", "x, y [rows, D] and w [D] f32", x, w, y);
  if (!is_optional_vector(args.bias, x.dim(-1))) fail("rms_norm", "bias [D] f32", args.bias);
  if (args.residual.defined() && !same_rows(y, args.residual)) fail("rms_norm", "residual like y", args.residual, y);
  if (!ctx.planning()) ctx.backend->rms_norm(ctx, x, w, y, args);
}

void relu_linear_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, float eps) {
  for (const Tensor* t : {&q, &k, &v}) {
    if (t->rank() != 4 || t->stride(3) != 1 || t->shape() != q.shape() || t->dtype() != q.dtype()) {
      fail("relu_linear_attention", "q, k, v [B, N, H, d] of one type", q, k, v);
    }
  }
  if (!is_attended(q, y)) fail("relu_linear_attention", "y like q, or contiguous rows of e4m3", q, y.values, y.scales);
  ctx.backend->relu_linear_attention(ctx, q, k, v, y, eps);
}

void softmax_attention(Context& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, const AttentionArgs& args) {
  if (q.rank() != 4 || !is_attended(q, y) || k.rank() != 3 || v.shape() != k.shape() || k.dim(2) != q.dim(3) || q.dim(2) % k.dim(1) != 0 ||
      q.dtype() != k.dtype() || q.dtype() != v.dtype() || q.stride(3) != 1 || k.stride(2) != 1 || v.stride(2) != 1) {
    fail("softmax_attention", "q, y [B, N, H, d] and k, v [L, Hk, d] of one type", q, k, v, y.values);
  }
  AttentionArgs complete = args;
  if (complete.key_offsets.empty()) {
    for (int64_t b = 0; b <= q.dim(0); ++b) complete.key_offsets.push_back(k.dim(0) * b / q.dim(0));
  }
  if (static_cast<int64_t>(complete.key_offsets.size()) != q.dim(0) + 1 || complete.key_offsets.back() > k.dim(0)) {
    fail("softmax_attention", "B + 1 key offsets within L", q, k);
  }
  if (args.value_bounds.defined() && args.value_bounds.elements() != q.dim(0) * kValueBoundParts) {
    fail("softmax_attention", "bounds of all members", args.value_bounds, q);
  }
  ctx.backend->softmax_attention(ctx, q, k, v, y, complete);
}

void value_bounds(Context& ctx, const Tensor& v, std::span<const int64_t> key_offsets, const Tensor& bounds) {
  if (v.rank() != 3 || !v.is_contiguous() || v.dim(2) % 8 != 0 || key_offsets.empty() || key_offsets.back() > v.dim(0) ||
      !bounds.is_contiguous() || bounds.dtype() != DType::kF32 ||
      bounds.elements() != (static_cast<int64_t>(key_offsets.size()) - 1) * kValueBoundParts) {
    fail("value_bounds", "v [L, H, d] of whole vectors, and bounds of all members", v, bounds);
  }
  if (!ctx.planning()) ctx.backend->value_bounds(ctx, v, key_offsets, bounds);
}

void rotary_embedding(Context& ctx, const Tensor& x, int64_t first_position, float theta) {
  if (x.rank() != 3 || x.stride(2) != 1 || x.dim(2) % 2 != 0) fail("rotary_embedding", "x [N, H, d] with even d", x);
  if (!ctx.planning()) ctx.backend->rotary_embedding(ctx, x, first_position, theta);
}

void embedding_lookup(Context& ctx, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) {
  if (table.rank() != 2 || !table.is_contiguous() || y.rows() != static_cast<int64_t>(ids.size()) || y.dim(-1) != table.dim(1) ||
      !y.has_row_pitch()) {
    fail("embedding_lookup", "table [V, D] and y [ids, D]", table, y);
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= table.dim(0)) {
      throw Error(ErrorKind::kModel, "token id " + std::to_string(id) + " is outside the vocabulary of " + std::to_string(table.dim(0)),
                  "the tokenizer and the text encoder do not belong together");
    }
  }
  if (!ctx.planning()) ctx.backend->embedding_lookup(ctx, table, ids, y, scale);
}

void activate(Context& ctx, const Tensor& x, const Tensor& y, Activation activation) {
  if (!x.has_row_pitch() || !same_rows(x, y)) fail("activate", "x, y of one shape", x, y);
  if (!ctx.planning()) ctx.backend->activate(ctx, x, y, activation);
}

void multiply_activated(Context& ctx, const Tensor& gate, const Tensor& up, const Tensor& y, Activation activation) {
  if (!gate.has_row_pitch() || !same_rows(gate, up) || !same_rows(gate, y)) {
    fail("multiply_activated", "gate, up, y of one shape", gate, up, y);
  }
  if (!ctx.planning()) ctx.backend->multiply_activated(ctx, gate, up, y, activation);
}

void add(Context& ctx, const Tensor& a, const Tensor& b, const Tensor& y) {
  if (!a.has_row_pitch() || !same_rows(a, b) || !same_rows(a, y)) fail("add", "a, b, y of one shape", a, b, y);
  if (!ctx.planning()) ctx.backend->add(ctx, a, b, y);
}

void add_rows(Context& ctx, const Tensor& x, const Tensor& rows, const Tensor& y) {
  if (x.rank() != 3 || !x.has_row_pitch() || !same_rows(x, y) || rows.dtype() != DType::kF32 || rows.elements() != x.dim(1) * x.dim(2) ||
      !rows.is_contiguous()) {
    fail("add_rows", "x, y [B, N, D] and rows [N, D] f32", x, rows, y);
  }
  if (!ctx.planning()) ctx.backend->add_rows(ctx, x, rows, y);
}

void cast(Context& ctx, const Tensor& x, const Tensor& y) {
  if (x.shape() != y.shape() || !x.has_row_pitch() || !y.has_row_pitch()) fail("cast", "x, y of one shape", x, y);
  if (!ctx.planning()) ctx.backend->cast(ctx, x, y);
}

void linear_combination(Context& ctx, std::span<const Term> terms, const Tensor& y) {
  for (const Term& term : terms) {
    if (term.x.shape() != y.shape() || term.x.dtype() != DType::kF32 || !term.x.is_contiguous()) {
      fail("linear_combination", "f32 tensors of one shape", term.x, y);
    }
  }
  if (y.dtype() != DType::kF32 || !y.is_contiguous() || terms.empty() || terms.size() > 4) {
    fail("linear_combination", "one to four terms and y f32", y);
  }
  if (!ctx.planning()) ctx.backend->linear_combination(ctx, terms, y);
}

namespace {

// fine [B, 2H, 2W, ·] and coarse [B, H, W, ·]
void check_two_scales(const char* op, const Tensor& fine, const Tensor& coarse) {
  if (fine.rank() != 4 || coarse.rank() != 4 || !fine.is_contiguous() || !coarse.is_contiguous() || fine.dtype() != coarse.dtype() ||
      fine.dim(0) != coarse.dim(0) || fine.dim(1) != 2 * coarse.dim(1) || fine.dim(2) != 2 * coarse.dim(2)) {
    fail(op, "maps [B, 2H, 2W, ·] and [B, H, W, ·]", fine, coarse);
  }
}

}  // namespace

void pixel_shuffle(Context& ctx, const Tensor& x, const Tensor& y) {
  check_two_scales("pixel_shuffle", y, x);
  if (x.dim(3) != 4 * y.dim(3)) fail("pixel_shuffle", "x with four times the channels of y", x, y);
  if (!ctx.planning()) ctx.backend->pixel_shuffle(ctx, x, y);
}

void pixel_unshuffle(Context& ctx, const Tensor& x, const Tensor& y) {
  check_two_scales("pixel_unshuffle", x, y);
  if (y.dim(3) != 4 * x.dim(3)) fail("pixel_unshuffle", "y with four times the channels of x", x, y);
  if (!ctx.planning()) ctx.backend->pixel_unshuffle(ctx, x, y);
}

void add_downsample_shortcut(Context& ctx, const Tensor& x, const Tensor& y) {
  check_two_scales("add_downsample_shortcut", x, y);
  if (4 * x.dim(3) % y.dim(3) != 0) fail("add_downsample_shortcut", "4·Cin divisible by Cout", x, y);
  if (!ctx.planning()) ctx.backend->add_downsample_shortcut(ctx, x, y);
}

void add_upsample_shortcut(Context& ctx, const Tensor& x, const Tensor& y) {
  check_two_scales("add_upsample_shortcut", y, x);
  if (4 * y.dim(3) % x.dim(3) != 0) fail("add_upsample_shortcut", "4·Cout divisible by Cin", x, y);
  if (!ctx.planning()) ctx.backend->add_upsample_shortcut(ctx, x, y);
}

void add_channel_mean(Context& ctx, const Tensor& x, const Tensor& y) {
  if (!x.has_row_pitch() || !y.has_row_pitch() || x.rows() != y.rows() || x.dtype() != y.dtype() || x.dim(-1) % y.dim(-1) != 0) {
    fail("add_channel_mean", "x [rows, Cin], y [rows, Cout] with Cin divisible by Cout", x, y);
  }
  if (!ctx.planning()) ctx.backend->add_channel_mean(ctx, x, y);
}

void add_channel_repeat(Context& ctx, const Tensor& x, const Tensor& y) {
  if (!x.has_row_pitch() || !y.has_row_pitch() || x.rows() != y.rows() || x.dtype() != y.dtype() || y.dim(-1) % x.dim(-1) != 0) {
    fail("add_channel_repeat", "x [rows, Cin], y [rows, Cout] with Cout divisible by Cin", x, y);
  }
  if (!ctx.planning()) ctx.backend->add_channel_repeat(ctx, x, y);
}

}  // namespace linea
