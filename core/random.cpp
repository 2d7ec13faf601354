// Built without contraction of multiply-adds (core/CMakeLists.txt), so that every instruction set rounds alike.
#include "core/random.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "core/text.h"
#include "core/threads.h"

namespace linea {
namespace {

constexpr double kPi = 3.14159265358979323846;

// ln(x) for normal x in (0, 1], to double precision: x = 2^e · m, ln m = 2 artanh((m - 1) / (m + 1)), m in [√½, √2).
double logarithm(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  double series = 1.0 / 21;
  for (int n = 19; n >= 1; n -= 2) series = series * z + 1.0 / n;
  return exponent * 0.69314718055994530942 + 2.0 * s * series;
}

struct SinCos {
  double sine, cosine;
};

// Of an angle in [0, 2π], to double precision.
SinCos sine_cosine(double angle) {
  constexpr double kHalfPiHigh = 1.57079632673412561417, kHalfPiLow = 6.07710050650619224932e-11;  // the high part times 4 is exact
  const int quadrant = static_cast<int>(std::lround(angle * (2.0 / kPi)));
  const double r = (angle - quadrant * kHalfPiHigh) - quadrant * kHalfPiLow, z = r * r;
  double sine = 1.0, cosine = 1.0;  // Taylor's series, innermost factor first
  for (int n = 16; n >= 2; n -= 2) {
    sine = 1.0 - sine * z / (n * (n + 1));
    cosine = 1.0 - cosine * z / (n * (n - 1));
  }
  sine *= r;
  switch (quadrant & 3) {
    case 0: return {sine, cosine};
    case 1: return {cosine, -sine};
    case 2: return {-sine, -cosine};
    default: return {-cosine, sine};
  }
}

float radius(float uniform) { return std::sqrt(-2.0f * static_cast<float>(logarithm(static_cast<double>(uniform)))); }

constexpr int64_t kFillBlock = 16;  // torch pairs element j of a block with element j + 8

// Turns 16 uniform values into normal ones.
void box_muller_block(float* values) {
  for (int j = 0; j < 8; ++j) {
    const float r = radius(1.0f - values[j]);
    const float angle = 2.0f * static_cast<float>(kPi) * values[j + 8];
    const SinCos turn = sine_cosine(static_cast<double>(angle));
    values[j] = r * static_cast<float>(turn.cosine);
    values[j + 8] = r * static_cast<float>(turn.sine);
  }
}

using Words = std::array<uint32_t, 4>;

Words philox(uint64_t seed, uint64_t block, uint64_t thread) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  Words c{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(thread),
          static_cast<uint32_t>(thread >> 32)};
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * c[0], product1 = kMultiplier1 * c[2];
    c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return c;
}

// cuRAND's pair of normal values from two words. Its device code fuses the multiply-add of the angle: a product of two floats is exact
// in double, so one rounding remains here too.
std::array<float, 2> curand_box_muller(uint32_t x, uint32_t y) {
  constexpr float kUnit = 2.3283064e-10f;               // 2^-32
  constexpr float kTurn = 2.3283064e-10f * 6.2831855f;  // 2π · 2^-32
  const float u = static_cast<float>(x) * kUnit + kUnit / 2;
  const double angle = static_cast<double>(static_cast<float>(y)) * static_cast<double>(kTurn) + static_cast<double>(kTurn / 2);
  const SinCos turn = sine_cosine(static_cast<double>(static_cast<float>(angle)));
  const float r = radius(u);
  return {r * static_cast<float>(turn.sine), r * static_cast<float>(turn.cosine)};
}

}  // namespace

double TorchCpuGenerator::uniform53() {
  const uint64_t high = engine_();
  const uint64_t low = engine_();
  return static_cast<double>((high << 32 | low) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

double TorchCpuGenerator::normal_double() {
  if (spare_) {
    const double value = *spare_;
    spare_.reset();
    return value;
  }
  const double u1 = uniform53();
  const double u2 = uniform53();
  const double r = std::sqrt(-2.0 * logarithm(1.0 - u2));  // exact: u2 is a multiple of 2^-53
  const SinCos turn = sine_cosine(2.0 * kPi * u1);
  spare_ = r * turn.sine;
  return r * turn.cosine;
}

void TorchCpuGenerator::normal(std::span<float> values) {
  const int64_t count = static_cast<int64_t>(values.size());
  if (count < kFillBlock) {
    for (float& value : values) value = static_cast<float>(normal_double());
    return;
  }
  for (float& value : values) value = uniform();
  parallel_for(count / kFillBlock, 256, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) box_muller_block(values.data() + block * kFillBlock);
  });
  if (count % kFillBlock != 0) {  // torch draws the last 16 anew
    const std::span<float> tail = values.last(kFillBlock);
    for (float& value : tail) value = uniform();
    box_muller_block(tail.data());
  }
}

GpuProfile parse_gpu_profile(const std::string& name) {
  struct Known {
    const char* name;
    GpuProfile profile;
  };
  constexpr Known kKnown[] = {{"h100", {132, 2048}}, {"h200", {132, 2048}},    {"a100", {108, 2048}},
                              {"l40s", {142, 1536}}, {"rtx4090", {128, 1536}}, {"rtx3090", {82, 1536}}};
  for (const Known& known : kKnown) {
    if (name == known.name) return known.profile;
  }
  GpuProfile profile;
  const char* end = name.data() + name.size();
  const auto first = std::from_chars(name.data(), end, profile.multiprocessors);
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == 'x') {
    const auto second = std::from_chars(first.ptr + 1, end, profile.threads_per_multiprocessor);
    const auto between = [](int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; };
    if (second.ec == std::errc() && second.ptr == end && between(profile.multiprocessors, 1, 4096) &&
        between(profile.threads_per_multiprocessor, 256, 4096)) {
      return profile;
    }
  }
  throw Error(ErrorKind::kUsage, "unknown GPU profile \"" + printable(name) + "\"",
              "use h100, h200, a100, l40s, rtx4090, rtx3090, or MULTIPROCESSORSxTHREADS such as 132x2048");
}

void TorchCudaGenerator::normal(std::span<float> values) {
  constexpr int64_t kThreadsPerBlock = 256;
  const int64_t count = static_cast<int64_t>(values.size());
  if (count == 0) return;
  const int64_t most_blocks = profile_.multiprocessors * (profile_.threads_per_multiprocessor / kThreadsPerBlock);
  const int64_t blocks = std::min((count + kThreadsPerBlock - 1) / kThreadsPerBlock, most_blocks);
  const int64_t threads = blocks * kThreadsPerBlock;  // thread k writes elements k + threads · (0, 1, 2, …), four per Philox block
  const int64_t rounds = (count - 1) / (threads * 4) + 1;
  parallel_for(std::min(threads, count), 256, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread) {
      for (int64_t round = 0; round < rounds; ++round) {
        const Words words = philox(seed_, block_ + static_cast<uint64_t>(round), static_cast<uint64_t>(thread));
        for (int half = 0; half < 2; ++half) {
          const int64_t first = thread + threads * (4 * round + 2 * half);
          if (first >= count) break;
          const size_t word = half == 0 ? 0 : 2;
          const std::array<float, 2> pair = curand_box_muller(words[word], words[word + 1]);
          values[static_cast<size_t>(first)] = pair[0];
          if (first + threads < count) values[static_cast<size_t>(first + threads)] = pair[1];
        }
      }
    }
  });
  block_ += static_cast<uint64_t>(rounds);
}

}  // namespace linea
