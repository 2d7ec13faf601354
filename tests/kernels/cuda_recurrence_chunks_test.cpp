// Linear attentions in chunks on tensor cores: calls of many tokens in 16 bits, against the CPU backend, which goes token by token in f32.
#include <algorithm>

#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

constexpr double kStateBound = 5e-5;  // of operands as two bf16 parts, 2^-16 each, over the length of a text

class CudaRecurrenceChunks : public CudaParity {
 protected:
  // Calls op(ctx, side, first token, tokens, state) for the whole on both sides and compares y and states; then again, which must give the
  // same bits; then in pieces of many tokens and of few, which meet the state as closely.
  using Op = std::function<void(Context&, int side, int64_t first, int64_t count, const Tensor& state)>;
  void expect_sequence(const std::string& what, int64_t tokens, const Tensor& start, const Pair& y, const Op& op) {
    const std::array<Tensor, 2> state = {copy(start), start.to(kCuda)};
    run([&](Context& ctx, int side) { op(ctx, side, 0, tokens, state[static_cast<size_t>(side)]); });
    expect_close(y, what);
    EXPECT_LE(relative_l2(state[1].to(kCpuDevice), state[0]), kStateBound) << what << " state";
    const Tensor whole = y.wide[1].to(kCpuDevice);
    Context ctx = context(1);
    const Tensor again = start.to(kCuda);
    op(ctx, 1, 0, tokens, again);
    expect_same_bits(y.wide[1], whole, what + " again");
    expect_same_bits(again, state[1], what + " state again");
    for (const int64_t piece : {int64_t{7}, int64_t{64}, int64_t{101}}) {
      const Tensor other = start.to(kCuda);
      for (int64_t first = 0; first < tokens; first += piece) op(ctx, 1, first, std::min(piece, tokens - first), other);
      expect_close(y, what + " in pieces of " + std::to_string(piece));
      EXPECT_LE(relative_l2(other.to(kCpuDevice), state[0]), kStateBound) << what << " state after pieces of " << piece;
    }
  }

  static Tensor copy(const Tensor& t) {
    Tensor result(t.shape(), t.dtype());
    std::memcpy(result.raw(), t.raw(), static_cast<size_t>(t.bytes()));
    return result;
  }

  // f32 values in (low, high).
  Pair between(Shape shape, float low, float high) {
    const Tensor values = random_tensor(shape, seed_++, DType::kF32);
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& v = values.data<float>()[i];
      v = low + (high - low) / (1 + std::exp(-2 * v));
    }
    return both_devices(values);
  }

  // Heads of unit length, in the type.
  Pair directions(int64_t tokens, int64_t heads, int64_t size) {
    const Tensor wide = random_tensor({tokens, heads, size}, seed_++, DType::kF32);
    for (int64_t h = 0; h < tokens * heads; ++h) {
      float* v = wide.data<float>() + h * size;
      float squares = 0;
      for (int64_t i = 0; i < size; ++i) squares += v[i] * v[i];
      for (int64_t i = 0; i < size; ++i) v[i] /= std::sqrt(squares);
    }
    return both_devices(wide.to(dtype()));
  }

  uint64_t seed_ = 5000;
};

INSTANTIATE_TEST_SUITE_P(Cuda, CudaRecurrenceChunks, ::testing::Values(DType::kBF16, DType::kF16), name_of_type);

// RWKV-7's form: what is erased lies along the direction that is read, at a rate between 0 and 1.
TEST_P(CudaRecurrenceChunks, DeltaRule) {
  constexpr int64_t kHeads = 3, kSize = 64, kChannels = kHeads * kSize;
  const float least = -std::exp(-0.5f);
  for (const int64_t T : {64, 83, 96, 1037}) {
    const auto heads = [&](const Pair& t) { return t.reshape({T, kHeads, kSize}); };
    const Pair q = heads(pitched({T, kChannels})), k = heads(pitched({T, kChannels}, 0.3f)), v = heads(pitched({T, kChannels}));
    const Pair a = directions(T, kHeads, kSize), decay = between({T, kHeads, kSize}, least, -1e-4f), y = pitched_output({T, kChannels});
    const Tensor rates = random_tensor({T, kHeads, kSize}, 7, DType::kF32), direction = a[0].to(DType::kF32);
    for (int64_t i = 0; i < rates.elements(); ++i)
      rates.data<float>()[i] = direction.data<float>()[i] / (1 + std::exp(-rates.data<float>()[i]));
    const Pair b = both_devices(rates.to(dtype()));
    expect_sequence("delta rule, " + std::to_string(T) + " tokens", T, random_tensor({kHeads, kSize, kSize}, 9), y,
                    [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                      const auto part = [&](const Pair& x) { return x[side].slice(0, first, count); };
                      linear_recurrence(ctx, part(q), part(k), part(v),
                                        {.log_decay = part(decay), .a = part(a), .b = part(b), .least_log_decay = least}, state,
                                        part(y).reshape({count, kHeads, kSize}));
                    });
  }
}

// Only a bound on the decays allows chunks: without it a call goes token by token, which rounds differently.
TEST_P(CudaRecurrenceChunks, DeltaRuleNeedsABound) {
  constexpr int64_t kTokens = 64, kSize = 64;
  const Pair q = random({kTokens, 1, kSize}), k = random({kTokens, 1, kSize}, 0.3f), a = directions(kTokens, 1, kSize);
  const Pair decay = between({kTokens, 1, kSize}, -0.6f, 0.0f), y = output({kTokens, 1, kSize});
  const Tensor start = random_tensor({1, kSize, kSize}, 9), bounded = start.to(kCuda), unbounded = start.to(kCuda);
  Context ctx = context(1);
  linear_recurrence(ctx, q[1], k[1], q[1], {.log_decay = decay[1], .a = a[1], .b = a[1], .least_log_decay = -0.6f}, bounded, y[1]);
  linear_recurrence(ctx, q[1], k[1], q[1], {.log_decay = decay[1], .a = a[1], .b = a[1]}, unbounded, y[1]);
  const Tensor in_chunks = bounded.to(kCpuDevice), by_token = unbounded.to(kCpuDevice);
  EXPECT_LE(relative_l2(in_chunks, by_token), kStateBound);
  EXPECT_FALSE(same_bits(in_chunks, by_token));
}

// RWKV-5's constant decays and RWKV-6's, which may forget a channel within a token.
TEST_P(CudaRecurrenceChunks, DecaysOfChannels) {
  constexpr int64_t kHeads = 4, kGroups = 2, kSize = 64;
  for (const auto& [T, most, constant] : {std::tuple<int64_t, float, bool>{83, 0.5f, false},
                                          {64, 30.0f, false},
                                          {301, 1e-3f, false},
                                          {96, 4.0f, true},
                                          {70, 500.0f, false}}) {
    const Pair q = pitched({T, kGroups * kSize}).reshape({T, kGroups, kSize}),
               k = pitched({T, kGroups * kSize}, 0.2f).reshape({T, kGroups, kSize});
    const Pair v = pitched({T, kHeads * kSize}).reshape({T, kHeads, kSize}), y = pitched_output({T, kHeads * kSize});
    const Pair decay = between({constant ? 1 : T, kHeads, kSize}, -most, 0.0f);
    expect_sequence("decays of channels to " + std::to_string(most), T, random_tensor({kHeads, kSize, kSize}, 9), y,
                    [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                      const auto part = [&](const Pair& x) { return x[side].slice(0, first, count); };
                      linear_recurrence(ctx, part(q), part(k), part(v),
                                        {.log_decay = constant ? decay[side] : part(decay), .read_before_write = true}, state,
                                        part(y).reshape({count, kHeads, kSize}));
                    });
  }
}

// Decays from none to far beyond what f32 can hold in a chunk.
TEST_P(CudaRecurrenceChunks, OneDecayForAHead) {
  for (const auto& [T, G, H, N, P, most] : {std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, float>{83, 1, 4, 128, 64, 0.5f},
                                            {200, 2, 4, 64, 128, 3.0f},
                                            {64, 1, 2, 128, 64, 400.0f},
                                            {517, 1, 2, 64, 64, 1e-3f}}) {
    const Pair q = pitched({T, G * N}).reshape({T, G, N}), k = pitched({T, G * N}, 0.1f).reshape({T, G, N});
    const Pair v = pitched({T, H * P}).reshape({T, H, P}), y = pitched_output({T, H * P});
    const Pair decay = between({T, H, 1}, -most, 0.0f), scale = floats({T, H}), skip = floats({H});
    expect_sequence("decays to " + std::to_string(most), T, random_tensor({H, N, P}, 9), y,
                    [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                      const auto part = [&](const Pair& x) { return x[side].slice(0, first, count); };
                      linear_recurrence(ctx, part(q), part(k), part(v),
                                        {.log_decay = part(decay), .value_scale = part(scale), .skip = skip[side]}, state,
                                        part(y).reshape({count, H, P}));
                    });
  }
}

TEST_P(CudaRecurrenceChunks, Mamba2Heads) {
  for (const auto& [T, G, H, N, P] : {std::array<int64_t, 5>{100, 1, 4, 128, 64}, {77, 2, 4, 64, 64}}) {
    const Mamba2Inputs in = mamba2_inputs(T, G, H, N, P, between({H}, -4.0f, -0.1f));
    const Pair y = output({T, H, P});
    expect_sequence("heads of Mamba-2", T, random_tensor({H, N, P}, 3), y,
                    [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                      mamba2_heads(ctx, in.of(side, first, count), state, y[side].slice(0, first, count));
                    });
  }
}

// Several sequences in one call: each gives the bits that it gives alone.
TEST_P(CudaRecurrenceChunks, SequencesDoNotMeet) {
  constexpr int64_t kMembers = 3, kHeads = 2, kSize = 64, kTokens = 75, kRows = kMembers * kTokens;
  const Pair q = random({kRows, kHeads, kSize}), k = random({kRows, kHeads, kSize}, 0.1f), v = random({kRows, kHeads, kSize});
  const Pair decay = between({kRows, kHeads, kSize}, -0.6f, 0.0f), a = directions(kRows, kHeads, kSize);
  const Tensor start = random_tensor({kMembers, kHeads, kSize, kSize}, 4);
  const auto run_rows = [&](int64_t first, int64_t count, const Tensor& state) {
    Context ctx = context(1);
    const auto part = [&](const Pair& x) { return x[1].slice(0, first, count); };
    Tensor y({count, kHeads, kSize}, dtype(), kCuda);
    linear_recurrence(ctx, part(q), part(k), part(v), {.log_decay = part(decay), .a = part(a), .b = part(a), .least_log_decay = -0.6f},
                      state, y);
    return y;
  };
  const Tensor states = start.to(kCuda), all = run_rows(0, kRows, states);
  for (int64_t i = 0; i < kMembers; ++i) {
    const Tensor state = copy(start.select(0, i)).to(kCuda), alone = run_rows(i * kTokens, kTokens, state);
    expect_same_bits(all.slice(0, i * kTokens, kTokens), alone, "y of member " + std::to_string(i));
    expect_same_bits(states.select(0, i), state, "state of member " + std::to_string(i));
  }
}

}  // namespace
}  // namespace linea::test
