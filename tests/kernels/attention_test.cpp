// Both attentions and the rotary embedding.
#include <cmath>

#include "tests/kernels/fixture.h"
#include "tests/kernels/reference.h"

namespace linea::test {
namespace {

class AttentionTest : public KernelTest {};
LINEA_KERNEL_SUITE(AttentionTest);

struct Size {
  int64_t batch, tokens, heads, d;
};

TEST_P(AttentionTest, LinearAttentionEqualsReference) {
  for (const auto [batch, tokens, heads, d] : {Size{1, 1, 1, 1}, Size{2, 31, 3, 32}, Size{1, 33, 2, 7}, Size{1, 511, 1, 32},
                                               Size{2, 513, 1, 32}, Size{1, 1100, 2, 16}, Size{1, 40, 1, 130}}) {
    const Tensor q = random({batch, tokens, heads, d}), k = random({batch, tokens, heads, d}), v = random({batch, tokens, heads, d});
    const Tensor y = output({batch, tokens, heads, d});
    relu_linear_attention(ctx(), q, k, v, y);
    expect_close(y, reference::relu_linear_attention(q, k, v, 1e-15), tokens + d, "heads side by side " + q.shape().to_string());
  }
}

// DC-AE: groups of 96 channels hold a query, a key and a value each.
TEST_P(AttentionTest, LinearAttentionOfInterleavedHeads) {
  const int64_t batch = 2, tokens = 49, heads = 6, d = 32;
  const Tensor qkv = random({batch, tokens, heads, 3 * d});
  const Tensor q = qkv.slice(3, 0, d), k = qkv.slice(3, d, d), v = qkv.slice(3, 2 * d, d);
  const Tensor y = pitched_output({batch, tokens, heads * d});
  relu_linear_attention(ctx(), q, k, v, y.reshape({batch, tokens, heads, d}));
  expect_close(y, reference::relu_linear_attention(q, k, v, 1e-15).reshape(y.shape()), tokens + d, "interleaved heads");
}

TEST_P(AttentionTest, LinearAttentionOfAZeroQueryIsZero) {
  const Tensor q = random({1, 4, 1, 32}), k = random({1, 4, 1, 32}), v = random({1, 4, 1, 32}), y = output({1, 4, 1, 32});
  multiply_activated(ctx(), q.slice(1, 2, 1).reshape({1, 32}), random({1, 32}, 0.0f), q.slice(1, 2, 1).reshape({1, 32}), Activation::kNone);
  relu_linear_attention(ctx(), q, k, v, y);
  EXPECT_EQ(max_abs_difference(y.slice(1, 2, 1), random({1, 1, 1, 32}, 0.0f)), 0.0);
}

TEST_P(AttentionTest, LinearAttentionHasTheSameBitsForAnyThreadsAndBatch) {
  const int64_t batch = 3, tokens = 1030, heads = 2, d = 32;
  const Tensor q = random({batch, tokens, heads, d}), k = random({batch, tokens, heads, d}), v = random({batch, tokens, heads, d});
  const auto run = [&](int64_t first, int64_t count) {
    const Tensor y = output({count, tokens, heads, d});
    relu_linear_attention(ctx(), q.slice(0, first, count), k.slice(0, first, count), v.slice(0, first, count), y);
    return y;
  };
  expect_thread_independent([&] { return run(0, batch); }, "linear attention");
  expect_member_independent(
      run(0, batch), [&](int64_t b) { return run(b, 1); }, "linear attention");
  expect_planned([&](Context& context) { relu_linear_attention(context, q, k, v, output(q.shape())); });
}

struct SoftmaxCase {
  int64_t queries, keys, heads, kv_heads, d;
  float softcap;
  bool causal;
  int64_t window;
};

TEST_P(AttentionTest, SoftmaxAttentionEqualsReference) {
  for (const auto& c :
       {SoftmaxCase{1, 1, 1, 1, 1, 0, false, 0}, SoftmaxCase{5, 3, 2, 1, 8, 0, false, 0}, SoftmaxCase{33, 64, 2, 2, 32, 0, false, 0},
        SoftmaxCase{31, 65, 2, 2, 72, 0, false, 0}, SoftmaxCase{64, 130, 2, 2, 112, 0, false, 0},
        SoftmaxCase{67, 67, 4, 2, 64, 50, true, 0}, SoftmaxCase{150, 150, 2, 1, 48, 30, true, 20},
        SoftmaxCase{40, 40, 1, 1, 256, 50, true, 64}, SoftmaxCase{70, 70, 1, 1, 33, 0, false, 9}}) {
    const int64_t batch = 2;
    const Tensor q = random({batch, c.queries, c.heads, c.d}), k = random({batch * c.keys, c.kv_heads, c.d}),
                 v = random({batch * c.keys, c.kv_heads, c.d});
    AttentionArgs args;
    args.scale = 1.0f / std::sqrt(static_cast<float>(c.d));
    args.softcap = c.softcap;
    args.causal = c.causal;
    args.window = c.window;
    const Tensor y = output(q.shape());
    softmax_attention(ctx(), q, k, v, y, args);
    expect_close(y, reference::softmax_attention(q, k, v, args), c.keys + c.d,
                 "softmax attention " + Shape{c.queries, c.keys, c.heads, c.kv_heads, c.d}.to_string());
  }
}

TEST_P(AttentionTest, SoftmaxAttentionReadsFusedProjections) {
  const int64_t batch = 2, queries = 37, keys = 21, heads = 4, d = 24;
  const Tensor q = pitched({batch, queries, heads * d}), kv = random({batch * keys, 2 * heads * d});
  const Tensor k = kv.slice(1, 0, heads * d).reshape({batch * keys, heads, d}),
               v = kv.slice(1, heads * d, heads * d).reshape({batch * keys, heads, d});
  const Tensor y = pitched_output({batch, queries, heads * d});
  AttentionArgs args;
  args.scale = 0.2f;
  args.key_offsets = {0, 5, 30};  // members of unequal length; the rest of the keys belongs to nobody
  const Tensor split_q = q.reshape({batch, queries, heads, d});
  softmax_attention(ctx(), split_q, k, v, y.reshape(split_q.shape()), args);
  expect_close(y, reference::softmax_attention(split_q, k, v, args).reshape(y.shape()), keys + d, "strided and ragged");
}

TEST_P(AttentionTest, SoftmaxAttentionOfNothingIsZeroAndOfHugeScoresFinite) {
  const Tensor q = random({2, 3, 1, 16}, 30.0f), k = random({7, 1, 16}, 30.0f), v = random({7, 1, 16}), y = output({2, 3, 1, 16});
  AttentionArgs args;
  args.key_offsets = {0, 7, 7};
  softmax_attention(ctx(), q, k, v, y, args);
  expect_close(y, reference::softmax_attention(q, k, v, args), 1000, "an empty segment beside a saturated one");
}

TEST_P(AttentionTest, SoftmaxAttentionHasTheSameBitsForAnyThreadsAndBatch) {
  const int64_t batch = 3, queries = 70, keys = 100, heads = 4, d = 40;
  const Tensor q = random({batch, queries, heads, d}), k = random({batch * keys, 2, d}), v = random({batch * keys, 2, d});
  const auto run = [&](int64_t first, int64_t count) {
    const Tensor y = output({count, queries, heads, d});
    softmax_attention(ctx(), q.slice(0, first, count), k.slice(0, first * keys, count * keys), v.slice(0, first * keys, count * keys), y,
                      {.scale = 0.2f, .causal = true});
    return y;
  };
  expect_thread_independent([&] { return run(0, batch); }, "softmax attention");
  expect_member_independent(
      run(0, batch), [&](int64_t b) { return run(b, 1); }, "softmax attention");
  expect_planned([&](Context& context) { softmax_attention(context, q, k, v, output(q.shape()), {}); });
}

TEST_P(AttentionTest, RotaryEmbeddingEqualsReference) {
  for (const auto [unused, tokens, heads, d] : {Size{0, 1, 1, 2}, Size{0, 5, 3, 34}, Size{0, 300, 2, 64}}) {
    const Tensor qkv = random({tokens, 3 * heads * d});
    const Tensor x = qkv.slice(1, heads * d, heads * d).reshape({tokens, heads, d});
    const Tensor expected = reference::rotary_embedding(x, 11, 10000.0);
    rotary_embedding(ctx(), x, 11, 10000.0f);
    expect_close(x, expected, 2, "rotary embedding");
  }
}

}  // namespace
}  // namespace linea::test
