// Steps as step programs (kernels/cuda/step_program.h) on the first CUDA device against the CPU backend, and against themselves replayed.
#include "kernels/replay.h"
#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

class CudaStepParity : public CudaParity {
 protected:
  std::array<Weight, 2> float_weight(int64_t out, int64_t in) {
    const Tensor w = random_tensor({out, in}, 77, DType::kF32, 1 / std::sqrt(static_cast<float>(in)));
    Context cpu = context(0), cuda = context(1);
    cpu.dtype = cuda.dtype = DType::kF32;
    return {prepare_linear(cpu, w), prepare_linear(cuda, w)};
  }

  using Step = std::function<void(Context&, int side)>;
  // Does the step on both devices, on the CUDA device from the same start as a program, as one that is captured and replayed, and op by op.
  // `changed`: all that it writes and that another step could read.
  void expect_equal_steps(const Step& step, const std::vector<std::pair<std::string, Pair>>& changed) {
    std::vector<Tensor> starts, programs;
    for (const auto& [name, pair] : changed) starts.push_back(pair[1].to(kCpuDevice));
    Context cpu = context(0), cuda = context(1);
    step(cpu, 0);
    ReplayCache replays;
    for (int run = 0; run < 3; ++run) {
      for (size_t i = 0; i < changed.size(); ++i) copy_onto(starts[i], changed[i].second[1]);
      replays.run(cuda, {}, [&] { cuda.backend->run_sequence([&] { step(cuda, 1); }); });
      for (size_t i = 0; i < changed.size(); ++i) {
        const auto& [name, pair] = changed[i];
        if (run > 0) {
          expect_same_bits(pair[1], programs[i], name + " replayed");
        } else {
          expect_near(pair, name);
          programs.push_back(pair[1].to(kCpuDevice));
        }
      }
    }
    for (size_t i = 0; i < changed.size(); ++i) copy_onto(starts[i], changed[i].second[1]);
    step(cuda, 1);
    for (const auto& [name, pair] : changed) expect_near(pair, name + " op by op");
  }

 private:
  // Roundings of 16-bit values pass through the products that follow.
  void expect_near(const Pair& pair, const std::string& what) const {
    const Tensor expected = to_double(pair[0]), actual = to_double(pair[1].to(kCpuDevice));
    const double bound = dtype() == DType::kF32 ? 1e-5 : dtype() == DType::kBF16 ? 1e-2 : 2e-3;
    EXPECT_LE(relative_l2(actual, expected), bound) << what;
  }
  static void copy_onto(const Tensor& host, const Tensor& device) {
    allocator_of(kCuda).copy_from_host(device.raw(), host.raw(), host.bytes());
  }
};

INSTANTIATE_TEST_SUITE_P(Cuda, CudaStepParity, ::testing::Values(DType::kF32, DType::kBF16, DType::kF16), name_of_type);

// Mixes, several products at once with long rows, short ones, other types and every ending, a norm that joins a product: more pieces of
// weights than fit at once, and fewer than there are blocks.
TEST_P(CudaStepParity, MixesAndProducts) {
  for (const auto& [C, F, R] : {std::array<int64_t, 3>{1024, 4096, 96}, {2560, 10240, 24}, {64, 256, 8}}) {
    const std::array<Weight, 2> wide = linear_weight(F, C), square = linear_weight(C, C), narrow = linear_weight(R, C);
    const std::array<Weight, 2> back = linear_weight(C, F), up = float_weight(C, R);
    const Pair x = floats({1, C}), state = floats({C}), other_state = floats({C}), w = floats({C}), bias = floats({C});
    const Pair m[] = {floats({C}), floats({C}), floats({C})}, gate = floats({1, C});
    const Pair z[] = {output({1, C}), output({1, C}), output({1, C})}, a = output({1, C}), b = output({1, F}), c = output({1, C});
    const Pair d = output({1, C}), h = output({1, C}), e = random({1, C}), low = output({1, R}, DType::kF32);
    expect_equal_steps(
        [&](Context& ctx, int side) {
          const auto of = [&](const std::array<Weight, 2>& pair) { return &pair[static_cast<size_t>(side)]; };
          const Mix mixes[] = {{m[0][side], z[0][side]}, {m[1][side], z[1][side]}};
          mix_with_previous(ctx, x[side], w[side], bias[side], state[side], mixes);
          const Projection first[] = {{.x = z[0][side], .w = of(square), .y = a[side]},
                                      {.x = z[1][side], .w = of(wide), .y = b[side], .function = Function::kReluSquared},
                                      {.x = z[0][side], .w = of(narrow), .y = low[side], .function = Function::kTanh}};
          project(ctx, first);
          const Projection second[] = {{.x = low[side], .w = of(up), .y = c[side], .bias = bias[side], .function = Function::kSigmoid}};
          project(ctx, second);
          const Projection third[] = {{.x = b[side], .w = of(back), .y = x[side], .residual = x[side]}};
          project(ctx, third);
          const Mix last[] = {{m[2][side], z[2][side]}};
          mix_with_previous(ctx, x[side], w[side], bias[side], other_state[side], last);
          const Projection fourth[] = {{.x = z[2][side], .w = of(square), .y = d[side]}};
          project(ctx, fourth);
          group_norm(ctx, x[side], w[side], h[side], {.bias = bias[side]});
          linear(ctx, h[side], *of(square), e[side], {.bias = bias[side], .residual = e[side], .gate = gate[side]});
        },
        {{"a", a},
         {"b", b},
         {"c", c},
         {"d", d},
         {"e", e},
         {"h", h},
         {"low", low},
         {"x", x},
         {"state", state},
         {"other state", other_state}});
  }
}

// Heads of RWKV-7 that take the low-rank products before them with them, where a sequence is too short for a program; with a share of the
// first layer's values and without.
TEST_P(CudaStepParity, ProjectedHeads) {
  constexpr int64_t kHead = 64;
  const float unit = 1.0f / std::sqrt(static_cast<float>(kHead));
  for (const auto& [H, W, A, V, G] : {std::array<int64_t, 5>{64, 128, 128, 96, 480}, {40, 96, 96, 64, 320}, {2, 8, 8, 16, 24}}) {
    const int64_t C = H * kHead;
    const Pair x = floats({1, C}), shift = floats({C}), norm = floats({C}), offset = floats({C}), m = floats({C}), z = output({1, C});
    const std::array<Weight, 2> down[] = {linear_weight(W, C), linear_weight(A, C), linear_weight(V, C), linear_weight(G, C)};
    const std::array<Weight, 2> up[] = {float_weight(C, W), linear_weight(C, A), linear_weight(C, V), linear_weight(C, G)};
    const Pair low[] = {output({1, W}, DType::kF32), output({1, A}), output({1, V}), output({1, G})};
    const Pair decay = output({1, C}, DType::kF32), rate = output({1, C}), share = output({1, C}), gate = output({1, C});
    const Pair q = random({1, C}), kk = output({1, C}), first = random({1, C});
    const Pair bias = floats({C}), k_k = floats({C}), k_a = floats({C}), u = floats({H, kHead}), w = floats({C}), y = output({1, C});
    const Pair state = floats({H, kHead, kHead});
    for (const bool shares : {false, true}) {
      const size_t count = shares ? 4 : 3;
      const Pair k = random({1, C}, unit), v = random({1, C});  // which the CPU replaces
      expect_equal_steps(
          [&, H = H](Context& ctx, int side) {
            const auto of = [&](const std::array<Weight, 2>& pair) { return &pair[static_cast<size_t>(side)]; };
            const Mix mixes[] = {{m[side], z[side]}};
            mix_with_previous(ctx, x[side], norm[side], offset[side], shift[side], mixes);
            const Projection narrow[] = {{.x = z[side], .w = of(down[0]), .y = low[0][side], .function = Function::kTanh},
                                         {.x = z[side], .w = of(down[1]), .y = low[1][side]},
                                         {.x = z[side], .w = of(down[3]), .y = low[3][side], .function = Function::kSigmoid},
                                         {.x = z[side], .w = of(down[2]), .y = low[2][side]}};
            project(ctx, std::span(narrow).first(count));
            const Projection wide[] = {
                {.x = low[0][side], .w = of(up[0]), .y = decay[side], .bias = bias[side], .function = Function::kSigmoid},
                {.x = low[1][side], .w = of(up[1]), .y = rate[side], .bias = bias[side], .function = Function::kSigmoid},
                {.x = low[3][side], .w = of(up[3]), .y = gate[side]},
                {.x = low[2][side], .w = of(up[2]), .y = share[side], .bias = bias[side], .function = Function::kSigmoid}};
            project(ctx, std::span(wide).first(count));
            const Rwkv7Inputs in = {.k = k[side],
                                    .v = v[side],
                                    .rate = rate[side],
                                    .decay = decay[side],
                                    .kk = kk[side],
                                    .v_first = shares ? first[side] : Tensor(),
                                    .share = shares ? share[side] : Tensor(),
                                    .k_k = k_k[side],
                                    .k_a = k_a[side],
                                    .heads = H};
            const Rwkv7Outputs out = {
                .q = q[side], .k = k[side], .v = v[side], .g = gate[side], .u = u[side], .w = w[side], .bias = bias[side]};
            rwkv7_heads(ctx, in, state[side], out, y[side]);
          },
          {{"y", y}, {"state", state}, {"gate", gate}, {"x", x}, {"shift", shift}});
    }
  }
}

// Two layers of Mamba-2: norms that join products, a convolution of what a product gives, heads; a norm in groups.
TEST_P(CudaStepParity, MambaLayers) {
  for (const auto& [D, H, N, G] : {std::array<int64_t, 4>{512, 16, 128, 1}, {64, 4, 32, 2}}) {
    constexpr int64_t kHead = 64, kTaps = 4;
    const int64_t inner = H * kHead, convolved = inner + 2 * G * N, all = inner + convolved + H;
    const std::array<Weight, 2> in = linear_weight(all, D), out = linear_weight(D, inner);
    const Pair x = floats({1, D}), w = floats({D}), gated = floats({inner}), filter = floats({kTaps, convolved}),
               bias = floats({convolved});
    const Pair step_bias = floats({H}), rate = both_devices(random_tensor({H}, 5, DType::kF32, 0.1f)), skip = floats({H});
    const Pair h = output({1, D}), projected = output({1, all}), xBC = output({1, convolved}), y = output({1, inner});
    const Pair normed = output({1, inner});
    const Pair windows[] = {floats({kTaps - 1, convolved}), floats({kTaps - 1, convolved})};
    const Pair memories[] = {floats({H, N, kHead}), floats({H, N, kHead})};
    expect_equal_steps(
        [&, G = G, H = H, N = N](Context& ctx, int side) {
          for (int layer = 0; layer < 2; ++layer) {
            group_norm(ctx, x[side], w[side], h[side], {.centre = false});
            linear(ctx, h[side], in[static_cast<size_t>(side)], projected[side]);
            const Tensor p = projected[side], joined = xBC[side];
            causal_conv1d(ctx, p.slice(1, inner, convolved), filter[side], bias[side], windows[layer][side], joined, Activation::kSilu);
            const Mamba2Heads heads = {.q = joined.slice(1, inner + G * N, G * N).reshape({1, G, N}),
                                       .k = joined.slice(1, inner, G * N).reshape({1, G, N}),
                                       .v = joined.slice(1, 0, inner).reshape({1, H, kHead}),
                                       .step = p.slice(1, inner + convolved, H),
                                       .gate = p.slice(1, 0, inner).reshape({1, H, kHead}),
                                       .step_bias = step_bias[side],
                                       .rate = rate[side],
                                       .skip = skip[side]};
            mamba2_heads(ctx, heads, memories[layer][side], y[side].reshape({1, H, kHead}));
            group_norm(ctx, y[side], gated[side], normed[side], {.groups = G, .centre = false});
            const Projection last[] = {{.x = normed[side], .w = &out[static_cast<size_t>(side)], .y = x[side], .residual = x[side]}};
            project(ctx, last);
          }
        },
        {{"x", x},
         {"projected", projected},
         {"xBC", xBC},
         {"y", y},
         {"normed", normed},
         {"window 0", windows[0]},
         {"window 1", windows[1]},
         {"memory 0", memories[0]},
         {"memory 1", memories[1]}});
  }
}

// What throws in the middle of a sequence, and what the recorder does not take between what it does.
TEST_P(CudaStepParity, InterruptedSequences) {
  const std::array<Weight, 2> w = linear_weight(64, 64);
  const Pair x = random({1, 64}), y = output({1, 64}), z = output({1, 64}), norm = floats({64});
  Context ctx = context(1);
  EXPECT_THROW(ctx.backend->run_sequence([&] {
    group_norm(ctx, x[1], norm[1], y[1]);
    throw Error(ErrorKind::kCancelled, "cancelled");
  }),
               Error);
  const auto step = [&](Context& running, int side) {
    for (int i = 0; i < 4; ++i) {
      group_norm(running, x[side], norm[side], y[side]);
      linear(running, y[side], w[static_cast<size_t>(side)], z[side]);
      activate(running, z[side], x[side], Activation::kSilu);
    }
  };
  Context cpu = context(0);
  step(cpu, 0);
  ctx.backend->run_sequence([&] { step(ctx, 1); });
  expect_close(x, "after ops between", 1e-5);
}

}  // namespace
}  // namespace linea::test
