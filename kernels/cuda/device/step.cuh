// kernels/cuda/device/step.cuh: the instructions of a step program (step_program.h), as they lie in device memory.
//
// All blocks of the one kernel go through the instructions together. An instruction that needs what earlier ones gave takes it as words
// (step_words.cuh), or begins with a barrier across the grid (`waits`); constants and weights are asked for before.
#pragma once

#include "kernels/cuda/device/products.cuh"

namespace linea::cuda {

constexpr int kStepWarps = 14, kStepThreads = kStepWarps * 32;  // that compute
constexpr int kStepCopiers = 2;                                 // more warps, which ask for W in turns
constexpr int kStepSlots = 2 * kStepWarps;  // pieces of W that are here or on their way; a warp always has the same two slots
constexpr int kStepPieceBytes = 5120;       // of one slot: a row of 2560 in 16 bits
constexpr int kStepAskedBytes = 8192;       // into the second-level cache at a time
constexpr int kStepCopiesAhead = 4;         // parts of a list on their way to who takes them
constexpr int kStepInputBytes = 48 << 10;   // x of an instruction's products
constexpr int kStepParts = 2048;            // sums of an instruction's pieces in a block
constexpr int kStepKnown = 2;               // instructions in shared memory: the present one and the next
constexpr int kStepNormVectors = 2;         // of a thread, in the row of a norm
constexpr int kStepMixes = 8;
constexpr int kStepMixConstants = 3;  // of a mix besides those of its inputs
constexpr int kStepTaps = 4;
constexpr int kStepHead = 64;   // columns of a head that a block takes
constexpr int kStepKeys = 128;  // keys of a head, at most
static_assert(kStepSlots % kStepCopiers == 0);

enum class StepKind : int { kProducts, kMix, kNorm, kRwkv7Heads, kRecurrence, kSettle };

// What the blocks share evenly, the first `larger` of them having one more.
struct StepShares {
  int each, larger;

  __host__ __device__ int first_of(int block) const { return block * each + (block < larger ? block : larger); }
};

// A product's matrix in units of 2^unit_shift outputs; a unit is one piece, or 2^segment_shift of them where its row is long.
// A `words` is where a row lies as others of the program take it or were given it (step_words.cuh); null: it lies in memory as it is. A row
// that only this program reads is in words alone: then its address is null.
struct StepProduct {
  Product base;
  const uint32_t* residual_words;
  uint32_t* y_words;
  int input;
  int first_unit, unit_shift;
  int row_bytes, segment_bytes;
};

// Neighbouring rows of a matrix that one block multiplies, as the warps that copy take them: in pieces of equal length, but for the last.
// No pieces: constants and states, which are only asked for ahead.
struct alignas(16) StepCopy {
  const void* from;
  int bytes;
  uint16_t piece_bytes;
  uint16_t shared : 1;    // by all blocks: to be kept in the second-level cache, and not asked for ahead by each
  uint16_t counted : 15;  // instructions before it that blocks count (StepProgram::copied)
};
static_assert(sizeof(StepCopy) == 16);

struct StepInput {
  const void* x;
  const uint32_t* words;
  int bytes, place;  // place: in the inputs' shared memory
  int first_unit;    // that takes it
};

// y = (x - mean) · factor ⊙ w + bias of one row; the mean is zero where not `centre`.
struct StepNorm {
  const void* x;
  const uint32_t* words;
  const float *w, *bias;  // bias may be null
  void* y;
  int dim;
  float eps;
  bool centre;
  DType x_type;
};

// A causal convolution of the outputs [first, first + dim) of a product, whose window is replaced.
struct StepConvolution {
  const float *w, *bias;  // bias may be null
  float* window;
  void* y;
  uint32_t* y_words;
  int first, dim, taps;  // no taps: none
  Activation activation;
};

// Every input a mix of a norm's row h and the one before: y = h + (state - h) ⊙ m. Constants come as pieces of the ring, before W: the
// norm's w and bias, the state, and m of every input that the block needs. Others may still read the state: h is written beside it
// (StepSettle).
struct StepMixed {
  float* state;
  float* next_state;
  const float* m[kMostProducts];
  void* y[kMostProducts];
};

// Rows that replace others, once all blocks have read those.
struct StepSettle {
  const float* from;  // one row after the other
  float* const* to;
  const int *size, *place;  // place: where it begins in `from`
  int rows;
};

struct StepProducts {
  int count, units, inputs;
  int segment_shift, unit_shift;  // unit_shift: the largest
  StepShares shares;              // of units
  bool has_norm;                  // the first input is the norm's y, made by every block for itself
  bool has_mix;                   // all inputs are
  StepProduct product[kMostProducts];
  StepInput input[kMostProducts];
  StepNorm norm;
  StepMixed mixed;
  StepConvolution convolution;  // of the first product
};

// Pieces that one constant of a mix takes.
__host__ __device__ inline int pieces_of_mix(int dim) {
  return (dim * static_cast<int>(sizeof(float)) + kStepPieceBytes - 1) / kStepPieceBytes;
}

struct StepMix {
  const void* x;
  const uint32_t* words;
  const float *w, *bias;
  float* state;
  const float* m[kStepMixes];
  void* y[kStepMixes];
  uint32_t* y_words[kStepMixes];
  int dim, mixes;
  float eps;
  DType x_type;
};

constexpr int kStepBodyBytes = 2544;
struct alignas(16) StepInstruction {
  StepKind kind;
  int waits;
  int unused[2];
  alignas(16) unsigned char body[kStepBodyBytes];

  template <class Body> __host__ __device__ const Body& as() const {
    static_assert(sizeof(Body) <= kStepBodyBytes && std::is_trivially_copyable_v<Body>);
    return *reinterpret_cast<const Body*>(body);
  }
};
static_assert(sizeof(StepInstruction) == kStepBodyBytes + 16);

}  // namespace linea::cuda
