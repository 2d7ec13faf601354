// Every op on the first CUDA device against the CPU backend: the same inputs, shapes that do and do not fill tiles and vectors, outputs
// that are views of wider tensors. Skipped where there is no device.
//
// Both sides compute in f32 and round once (twice where a product in 16 bits is followed by an epilogue), so they differ by a rounding of
// the type here and there: the bounds are 2 u(type), and for f32 the different order of sums.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <functional>

#include "core/error.h"
#include "kernels/backend.h"
#include "kernels/devices.h"
#include "kernels/ops.h"
#include "tests/support/compare.h"

namespace linea::test {
namespace {

constexpr Device kCuda{DeviceKind::kCuda, 0};
constexpr int64_t kMargin = 8;  // channels beside a view, on either side

// The same tensor on both devices, perhaps a view of a wider one.
struct Pair {
  std::array<Tensor, 2> wide, view;
  const Tensor& operator[](int side) const { return view[static_cast<size_t>(side)]; }

  template <class F> Pair map(F f) const { return {wide, {f(view[0]), f(view[1])}}; }
  Pair reshape(Shape shape) const {
    return map([&](const Tensor& t) { return t.reshape(shape); });
  }
  Pair slice(int dimension, int64_t start, int64_t count) const {
    return map([&](const Tensor& t) { return t.slice(dimension, start, count); });
  }
};

class CudaParity : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
    for (const Device device : {kCpuDevice, kCuda}) {
      backends_.push_back(&backend_of(device));
      arenas_.emplace_back(device, int64_t{64} << 20);
    }
  }

  DType dtype() const { return GetParam(); }
  Context context(int side) {
    Context ctx;
    ctx.backend = backends_[static_cast<size_t>(side)];
    ctx.arena = &arenas_[static_cast<size_t>(side)];
    ctx.dtype = dtype();
    return ctx;
  }

  static Pair both_devices(const Tensor& host) {
    const Tensor device = host.to(kCuda);
    return {{host, device}, {host, device}};
  }
  Pair random(Shape shape, float scale = 1.0f) { return both_devices(random_tensor(shape, seed_++, dtype(), scale)); }
  Pair floats(Shape shape, float scale = 1.0f) { return both_devices(random_tensor(shape, seed_++, DType::kF32, scale)); }
  Pair pitched(Shape shape, float scale = 1.0f) { return narrow(random(widened(shape), scale), shape); }
  Pair output(Shape shape, DType type) {
    const Tensor host(shape, type);
    std::memset(host.raw(), 0xff, static_cast<size_t>(host.bytes()));
    return both_devices(host);
  }
  Pair output(Shape shape) { return output(shape, dtype()); }
  Pair pitched_output(Shape shape) { return narrow(output(widened(shape)), shape); }

  std::array<Weight, 2> linear_weight(int64_t out, int64_t in) {
    const Tensor w = random_tensor({out, in}, seed_++, dtype(), 1 / std::sqrt(static_cast<float>(in)));
    Context cpu = context(0), cuda = context(1);
    return {prepare_linear(cpu, w), prepare_linear(cuda, w)};
  }
  std::array<Weight, 2> conv_weight(int64_t out, int64_t in, int64_t k) {
    const Tensor w = random_tensor({out, in, k, k}, seed_++, dtype(), 1 / std::sqrt(static_cast<float>(in * k * k)));
    Context cpu = context(0), cuda = context(1);
    return {prepare_conv2d(cpu, w), prepare_conv2d(cuda, w)};
  }

  // Runs an op on both sides; on the device in exactly the memory that it plans.
  void run(const std::function<void(Context&, int side)>& op) {
    Context cpu = context(0);
    op(cpu, 0);
    Arena plan = Arena::planning(kCuda);
    Context planning = context(1);
    planning.arena = &plan;
    op(planning, 1);
    Arena exact(kCuda, plan.peak());
    Context running = context(1);
    running.arena = &exact;
    op(running, 1);
    running.backend->synchronize();
  }

  void expect_close(const Pair& y, const std::string& what, double f32_bound = 3e-6) const {
    const double bound = dtype() == DType::kF32 ? f32_bound : dtype() == DType::kBF16 ? 0x1p-7 : 0x1p-10;
    const Tensor wide = y.wide[1].to(kCpuDevice);
    const Tensor expected = to_double(y.wide[0]), actual = to_double(wide);
    ASSERT_EQ(expected.elements(), actual.elements());
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < expected.elements(); ++i) {
      const double e = expected.data<double>()[i], a = actual.data<double>()[i];
      ASSERT_EQ(std::isnan(e), std::isnan(a)) << what << ": element " << i << " is " << a << ", expected " << e;
      if (std::isnan(e)) continue;
      difference += (a - e) * (a - e);
      norm += e * e;
    }
    EXPECT_LE(std::sqrt(difference / std::max(norm, 1e-300)), bound) << what << " " << y[1].describe();
  }

  void expect_same_bits(const Tensor& a, const Tensor& b, const std::string& what) const {
    EXPECT_TRUE(same_bits(a.to(kCpuDevice), b.to(kCpuDevice))) << what << " " << a.describe();
  }

 private:
  static Shape widened(Shape shape) {
    shape[-1] += 2 * kMargin;
    return shape;
  }
  static Pair narrow(const Pair& pair, Shape shape) { return pair.slice(-1, kMargin, shape[-1]); }

  uint64_t seed_ = 1;
  std::vector<Backend*> backends_;
  std::vector<Arena> arenas_;
};

std::string name_of_type(const ::testing::TestParamInfo<DType>& info) { return std::string(name_of(info.param)); }
INSTANTIATE_TEST_SUITE_P(Cuda, CudaParity, ::testing::Values(DType::kF32, DType::kBF16, DType::kF16), name_of_type);

TEST_P(CudaParity, Linear) {
  for (const auto& [rows, in, out] : {std::array<int64_t, 3>{1, 32, 64}, {6, 256, 192}, {150, 72, 136}, {35, 50, 33}, {260, 64, 3}}) {
    const std::array<Weight, 2> w = linear_weight(out, in);
    const Pair x = pitched({rows, in}), bias = floats({out}), residual = random({rows, out});
    const int64_t members = rows % 2 == 0 ? 2 : 1;
    const Pair gate = floats({members, 2 * out}).slice(1, out, out);
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh}) {
      for (const bool has_bias : {false, true}) {
        for (const int ending : {0, 1, 2, 3}) {  // nothing, residual, gate and residual, the residual is y
          const Pair y = ending == 3 ? random({rows, out}) : pitched_output({rows, out});
          run([&](Context& ctx, int side) {
            LinearArgs args = {.activation = activation};
            if (has_bias) args.bias = bias[side];
            if (ending > 0) args.residual = ending == 3 ? y[side] : residual[side];
            if (ending == 2) args.gate = gate[side];
            linear(ctx, x[side], w[static_cast<size_t>(side)], y[side], args);
          });
          expect_close(y, "linear " + std::to_string(rows) + "x" + std::to_string(in) + "x" + std::to_string(out) + " activation " +
                              std::to_string(static_cast<int>(activation)) + " ending " + std::to_string(ending));
        }
      }
    }
  }
}

TEST_P(CudaParity, LinearDoesNotDependOnOtherMembers) {
  const std::array<Weight, 2> w = linear_weight(128, 192);
  const Pair x = random({3, 200, 192}), y = output({3, 200, 128}), one = output({1, 200, 128});
  Context ctx = context(1);
  linear(ctx, x[1], w[1], y[1]);
  for (int64_t b = 0; b < 3; ++b) {
    linear(ctx, x[1].slice(0, b, 1), w[1], one[1]);
    expect_same_bits(one[1], y[1].slice(0, b, 1), "member " + std::to_string(b));
  }
}

TEST_P(CudaParity, Conv2d) {
  struct Case {
    int64_t batch, height, width, in, out, kernel;
    Conv2dArgs args;
  };
  const Conv2dArgs plain{}, strided{.stride = 2}, enlarged{.upsample_nearest = true}, inner{.pad_top = 0, .pad_bottom = 0};
  const Conv2dArgs inner_enlarged{.upsample_nearest = true, .pad_top = 0, .pad_bottom = 1},
      inner_strided{.stride = 2, .pad_top = 0, .pad_bottom = 0};
  for (const Case& c : {Case{1, 9, 7, 3, 16, 3, plain},
                        {2, 8, 10, 32, 40, 3, plain},
                        {1, 13, 11, 72, 130, 3, plain},
                        {1, 6, 6, 16, 3, 3, plain},
                        {1, 12, 10, 24, 32, 3, strided},
                        {2, 9, 12, 8, 20, 3, inner_strided},
                        {1, 7, 5, 32, 24, 3, enlarged},
                        {1, 6, 8, 40, 64, 3, inner_enlarged},
                        {1, 11, 6, 16, 16, 3, inner},
                        {2, 5, 6, 24, 48, 1, plain},
                        {1, 9, 9, 8, 8, 5, plain}}) {
    if (c.args.upsample_nearest && c.kernel != 3) continue;
    const std::array<Weight, 2> w = conv_weight(c.out, c.in, c.kernel);
    const Pair x = random({c.batch, c.height, c.width, c.in}), bias = floats({c.out});
    const int64_t scale = c.args.upsample_nearest ? 2 : 1, half = c.kernel / 2;
    const int64_t top = c.args.pad_top < 0 ? half : c.args.pad_top, bottom = c.args.pad_bottom < 0 ? half : c.args.pad_bottom;
    const Shape shape{c.batch, (c.height * scale + top + bottom - c.kernel) / c.args.stride + 1,
                      (c.width * scale + 2 * half - c.kernel) / c.args.stride + 1, c.out};
    for (const int ending : {0, 1, 2}) {  // nothing, bias and activation, bias and y as residual
      const Pair y = ending == 2 ? random(shape) : output(shape);
      run([&](Context& ctx, int side) {
        Conv2dArgs args = c.args;
        if (ending > 0) args.bias = bias[side];
        if (ending == 1) args.activation = Activation::kSilu;
        if (ending == 2) args.residual = y[side];
        conv2d(ctx, x[side], w[static_cast<size_t>(side)], y[side], args);
      });
      expect_close(y, "conv2d of " + x[0].describe() + " ending " + std::to_string(ending));
    }
  }
}

TEST_P(CudaParity, StripsOfConvolutionsHaveTheBitsOfTheWhole) {
  const int64_t height = 21, width = 19, in = 40, out = 24;
  const std::array<Weight, 2> w = conv_weight(out, in, 3);
  const Pair x = random({1, height, width, in}), y = output({1, height, width, out}), large = output({1, 2 * height, 2 * width, out});
  const Pair filters = floats({3, 3, in}), z = output({1, height, width, in});
  Context ctx = context(1);
  conv2d(ctx, x[1], w[1], y[1]);
  conv2d(ctx, x[1], w[1], large[1], {.upsample_nearest = true});
  depthwise_conv2d(ctx, x[1], filters[1], z[1]);
  for (const int64_t first : {3, 8}) {
    const int64_t rows = 9;  // of the input: one more on either side than the result has
    const Tensor source = x[1].slice(1, first, rows);
    const Tensor strip({1, rows - 2, width, out}, dtype(), kCuda), large_strip({1, 2 * rows - 2, 2 * width, out}, dtype(), kCuda);
    const Tensor deep_strip({1, rows - 2, width, in}, dtype(), kCuda);
    conv2d(ctx, source, w[1], strip, {.pad_top = 0, .pad_bottom = 0});
    conv2d(ctx, source, w[1], large_strip, {.upsample_nearest = true, .pad_top = 0, .pad_bottom = 0});
    depthwise_conv2d(ctx, source, filters[1], deep_strip, {.pad_top = 0, .pad_bottom = 0});
    expect_same_bits(strip, y[1].slice(1, first + 1, rows - 2), "conv2d");
    expect_same_bits(large_strip, large[1].slice(1, 2 * first + 1, 2 * rows - 2), "enlarged conv2d");
    expect_same_bits(deep_strip, z[1].slice(1, first + 1, rows - 2), "depthwise_conv2d");
  }
}

TEST_P(CudaParity, Depthwise) {
  for (const int64_t channels : {6, 64, 272}) {
    for (const int64_t kernel : {3, 5, 7}) {
      for (const bool gated : {false, true}) {
        for (const int pad : {-1, 0}) {
          const int64_t height = 11, width = 9, lost = pad == 0 ? kernel / 2 * 2 : 0;
          const Pair x = random({2, height, width, channels}), w = floats({kernel, kernel, channels}, 0.3f), bias = floats({channels});
          const Pair y = output({2, height - lost, width, gated ? channels / 2 : channels});
          run([&](Context& ctx, int side) {
            depthwise_conv2d(ctx, x[side], w[side], y[side], {.bias = bias[side], .gated = gated, .pad_top = pad, .pad_bottom = pad});
          });
          expect_close(y, "depthwise_conv2d k = " + std::to_string(kernel) + " C = " + std::to_string(channels));
        }
      }
    }
  }
}

TEST_P(CudaParity, GroupedLinear) {
  for (const int64_t d : {5, 8, 32, 48, 100}) {
    const Pair x = pitched({70, 3 * d}), w = floats({3 * d, d}, 0.3f), y = pitched_output({70, 3 * d});
    run([&](Context& ctx, int side) { grouped_linear(ctx, x[side], w[side], y[side]); });
    expect_close(y, "grouped_linear d = " + std::to_string(d));
  }
}

TEST_P(CudaParity, Norms) {
  for (const int64_t dim : {1, 37, 64, 2240}) {
    const Pair x = pitched({2, 5, dim}), modulation = floats({2, 3 * dim}), w = floats({dim}), bias = floats({dim});
    const Pair residual = random({2, 5, dim});
    Pair y = pitched_output({2, 5, dim});
    run([&](Context& ctx, int side) {
      modulated_layer_norm(ctx, x[side], modulation[side].slice(1, dim, dim), modulation[side].slice(1, 2 * dim, dim), y[side], 1e-6f);
    });
    expect_close(y, "modulated_layer_norm " + std::to_string(dim), 1e-5);
    for (const bool full : {false, true}) {
      y = pitched_output({2, 5, dim});
      run([&](Context& ctx, int side) {
        RmsNormArgs args = {.eps = 1e-5f, .unit_offset = full};
        if (full) {
          args.bias = bias[side];
          args.activation = Activation::kGeluTanh;
          args.residual = residual[side];
        }
        rms_norm(ctx, x[side], w[side], y[side], args);
      });
      expect_close(y, "rms_norm " + std::to_string(dim), 1e-5);
    }
    const Pair in_place = random({2, 5, dim});
    run([&](Context& ctx, int side) { rms_norm(ctx, in_place[side], w[side], in_place[side], {.residual = in_place[side]}); });
    expect_close(in_place, "rms_norm in place", 1e-5);
  }
}

TEST_P(CudaParity, LinearAttention) {
  for (const int64_t d : {8, 20, 32, 64, 128}) {
    for (const int64_t tokens : {1, 70, 600}) {
      const int64_t heads = 3;
      const auto part = [&](const Pair& qkv, int64_t index) { return qkv.map([&](const Tensor& t) { return t.select(3, index); }); };
      const Pair interleaved = random({2, tokens, heads * 3 * d}).reshape({2, tokens, heads, 3, d});
      const Pair q = part(interleaved, 0), k = part(interleaved, 1), v = part(interleaved, 2);
      const Pair wide = pitched_output({2, tokens, heads * d}), y = wide.reshape({2, tokens, heads, d});
      run([&](Context& ctx, int side) { relu_linear_attention(ctx, q[side], k[side], v[side], y[side]); });
      expect_close(wide, "relu_linear_attention N = " + std::to_string(tokens) + " d = " + std::to_string(d), 1e-5);
    }
  }
}

TEST_P(CudaParity, SoftmaxAttention) {
  for (const int64_t d : {8, 33, 64, 112, 256}) {
    for (const int variant : {0, 1, 2, 3, 4}) {
      const int64_t batch = variant == 0 ? 3 : 1, queries = 75, heads = 4, key_heads = variant == 2 ? 2 : 4, keys = variant < 2 ? 150 : 75;
      AttentionArgs args = {.scale = 1 / std::sqrt(static_cast<float>(d))};
      if (variant == 0) args.key_offsets = {0, 1, 100, 150};
      if (variant == 1) args.softcap = 5.0f;
      if (variant >= 2) args.causal = true;
      if (variant == 3) args.window = 20;
      if (variant == 4) args.softcap = 50.0f;
      const Pair q = pitched({batch, queries, heads * d}).reshape({batch, queries, heads, d});
      const Pair k = pitched({keys, key_heads * d}).reshape({keys, key_heads, d}),
                 v = pitched({keys, key_heads * d}).reshape({keys, key_heads, d});
      const Pair wide = pitched_output({batch, queries, heads * d}), y = wide.reshape({batch, queries, heads, d});
      run([&](Context& ctx, int side) { softmax_attention(ctx, q[side], k[side], v[side], y[side], args); });
      expect_close(wide, "softmax_attention d = " + std::to_string(d) + " variant " + std::to_string(variant), 1e-5);
    }
  }
}

TEST_P(CudaParity, RotaryAndEmbedding) {
  for (const int64_t d : {6, 64, 256}) {
    const Pair wide = pitched({37, 3 * d}), x = wide.reshape({37, 3, d});
    run([&](Context& ctx, int side) { rotary_embedding(ctx, x[side], 1000, 10000.0f); });
    expect_close(wide, "rotary_embedding d = " + std::to_string(d));
  }
  for (const int64_t dim : {5, 64}) {
    std::vector<int32_t> ids(1100);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7919 % 300);
    for (const Pair& table : {random({300, dim}), floats({300, dim})}) {
      const Pair y = pitched_output({1100, dim});
      run([&](Context& ctx, int side) { embedding_lookup(ctx, table[side], ids, y[side], 3.0f); });
      expect_close(y, "embedding_lookup");
    }
  }
}

TEST_P(CudaParity, Elementwise) {
  for (const int64_t dim : {1, 3, 64, 2240}) {
    const Shape shape{2, 9, dim};
    const Pair a = pitched(shape), b = pitched(shape), rows = floats({9, dim});
    for (const Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu, Activation::kGeluTanh}) {
      Pair y = pitched_output(shape);
      run([&](Context& ctx, int side) { activate(ctx, a[side], y[side], activation); });
      expect_close(y, "activate");
      y = pitched_output(shape);
      run([&](Context& ctx, int side) { multiply_activated(ctx, a[side], b[side], y[side], activation); });
      expect_close(y, "multiply_activated");
    }
    Pair y = pitched_output(shape);
    run([&](Context& ctx, int side) { add(ctx, a[side], b[side], y[side]); });
    expect_close(y, "add");
    y = pitched_output(shape);
    run([&](Context& ctx, int side) { add_rows(ctx, a[side], rows[side], y[side]); });
    expect_close(y, "add_rows");
    for (const DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
      const Pair c = output(shape, type);
      run([&](Context& ctx, int side) { cast(ctx, a[side], c[side]); });
      EXPECT_TRUE(same_bits(c.wide[0], c.wide[1].to(kCpuDevice))) << "cast to " << name_of(type);
    }
  }
  for (const int64_t count : {5, 1024, 5000}) {
    const Pair u = floats({count}), v = floats({count}), w = floats({count}), y = output({count}, DType::kF32);
    run([&](Context& ctx, int side) {
      const Term terms[] = {{0.5f, u[side]}, {-2.0f, v[side]}, {1.25f, w[side]}};
      linear_combination(ctx, terms, y[side]);
    });
    expect_close(y, "linear_combination");
  }
}

TEST_P(CudaParity, Rearrangements) {
  using Op = void (*)(Context&, const Tensor&, const Tensor&);
  struct Case {
    const char* name;
    Op op;
    Shape x, y;
    bool adds;
  };
  for (const Case& c : {Case{"pixel_shuffle", pixel_shuffle, {2, 5, 3, 48}, {2, 10, 6, 12}, false},
                        Case{"pixel_unshuffle", pixel_unshuffle, {2, 10, 6, 12}, {2, 5, 3, 48}, false},
                        Case{"add_downsample_shortcut", add_downsample_shortcut, {2, 10, 6, 12}, {2, 5, 3, 24}, true},
                        Case{"add_downsample_shortcut", add_downsample_shortcut, {1, 10, 6, 12}, {1, 5, 3, 12}, true},
                        Case{"add_upsample_shortcut", add_upsample_shortcut, {2, 5, 3, 24}, {2, 10, 6, 12}, true},
                        Case{"add_upsample_shortcut", add_upsample_shortcut, {1, 5, 3, 12}, {1, 10, 6, 12}, true},
                        Case{"add_channel_mean", add_channel_mean, {1, 5, 3, 48}, {1, 5, 3, 12}, true},
                        Case{"add_channel_repeat", add_channel_repeat, {1, 5, 3, 12}, {1, 5, 3, 48}, true}}) {
    const Pair x = random(c.x), y = c.adds ? random(c.y) : output(c.y);
    run([&](Context& ctx, int side) { c.op(ctx, x[side], y[side]); });
    expect_close(y, c.name);
  }
}

TEST(CudaBackendTest, MissingDeviceIsADeviceError) {
  try {
    backend_of({DeviceKind::kCuda, cuda_device_count()});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice) << error.what();
  }
}

TEST(CudaBackendTest, OutOfMemoryLeavesTheBackendUsable) {
  if (!cuda_available()) GTEST_SKIP() << "no CUDA device";
  backend_of(kCuda);
  try {
    const Tensor huge({int64_t{1} << 48}, DType::kF32, kCuda);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kMemory) << error.what();
  }
  const Tensor x = random_tensor({1000}, 1);
  EXPECT_TRUE(same_bits(x, x.to(kCuda).to(kCpuDevice)));
}

}  // namespace
}  // namespace linea::test
