#include "kernels/cuda/step_program.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "kernels/cuda/device/step_bodies.cuh"
#include "kernels/cuda/device_facts.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/step_kernel.h"

namespace linea {
namespace cuda {
namespace {

constexpr size_t kFewestInstructions = 6;  // of a program; fewer are launched one by one

thread_local StepRecorder* current_recorder = nullptr;

struct Range {
  const char *begin, *end;
};

Range range_of(const Tensor& t) {
  int64_t last = 0;
  for (int i = 0; i < t.rank(); ++i) last += (t.dim(i) - 1) * t.stride(i);
  const auto* begin = static_cast<const char*>(t.raw());
  return {begin, begin + (last + 1) * bytes_of(t.dtype())};
}

bool overlap(const Range& a, const Range& b) { return a.begin < b.end && b.begin < a.end; }
bool overlap(const std::vector<Range>& a, const std::vector<Range>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const Range& x) { return std::any_of(b.begin(), b.end(), [&](const Range& y) { return overlap(x, y); }); });
}

std::vector<Range> ranges_of(std::initializer_list<const Tensor*> tensors) {
  std::vector<Range> ranges;
  for (const Tensor* t : tensors) {
    if (t->defined()) ranges.push_back(range_of(*t));
  }
  return ranges;
}

void append(std::vector<Range>& to, const std::vector<Range>& from) { to.insert(to.end(), from.begin(), from.end()); }

bool is_whole(const Tensor& t) { return is_aligned(t.raw(), t.dim(-1) * bytes_of(t.dtype())); }

int bits_of(int64_t value) { return std::bit_width(static_cast<uint64_t>(value)) - 1; }

// Into how many pieces a row comes, as the power of two, and how long they are: equal, but for whole vectors of 16 bytes.
int segment_shift_of(int64_t row_bytes) {
  int shift = 0;
  while (ceil_div(row_bytes, int64_t{1} << shift) > kStepPieceBytes) ++shift;
  return shift;
}
int64_t segment_of(int64_t row_bytes) {
  constexpr int64_t kVectorBytes = 16;
  return ceil_div(row_bytes, kVectorBytes << segment_shift_of(row_bytes)) * kVectorBytes;
}

// Products of one instruction while they are put together.
struct ProductsBuilder {
  StepProducts all = {};
  std::vector<Range> reads, writes;
  int64_t input_bytes = 0, outputs = 0;

  int input_of(const Tensor& x) {
    for (int i = 0; i < all.inputs; ++i) {
      if (all.input[i].x == x.raw()) return i;
    }
    return -1;
  }
  static int64_t bytes_in(const Tensor& x) { return ceil_div(x.dim(-1) * bytes_of(x.dtype()), 128) * 128; }
  static int64_t row_bytes_in(const Projection& p) { return p.x.dim(-1) * bytes_of(p.w->data.dtype()); }

  bool has_room_for(const Projection& p) {
    if (all.count == kMostProducts || (all.count > 0 && segment_shift_of(row_bytes_in(p)) != all.segment_shift)) return false;
    return input_of(p.x) >= 0 || input_bytes + bytes_in(p.x) <= kStepInputBytes;
  }
  void add(const Projection& p, const LinearArgs& args) {
    int input = input_of(p.x);
    if (input < 0) {
      input = all.inputs++;
      all.input[input] = {p.x.raw(), static_cast<int>(p.x.dim(-1) * bytes_of(p.x.dtype())), static_cast<int>(input_bytes)};
      input_bytes += bytes_in(p.x);
      append(reads, ranges_of({&p.x}));
    }
    append(reads, ranges_of({&p.residual, &args.gate}));
    append(writes, ranges_of({&p.y}));
    StepProduct& product = all.product[all.count++];
    product = {};
    product.base = product_base(p.x, p.w->data, p.y, p.bias, p.residual);
    product.base.function = p.function;
    set_ending(product.base, args, 1);
    product.input = input;
    product.row_bytes = static_cast<int>(row_bytes_in(p));
    product.segment_bytes = static_cast<int>(segment_of(product.row_bytes));
    all.segment_shift = segment_shift_of(product.row_bytes);
    outputs += product.base.out;
  }
  // Deals the outputs out: every warp of the device shall have a piece before one has more.
  bool finish(int processors) {
    const int64_t rows_of_warp = ceil_div(outputs, int64_t{processors} * kStepWarps);
    all.units = 0;
    all.unit_shift = 0;
    for (int i = 0; i < all.count; ++i) {
      StepProduct& p = all.product[i];
      const int64_t fit = std::max<int64_t>(kStepPieceBytes / p.row_bytes, 1);
      p.unit_shift = std::min(bits_of(2 * rows_of_warp - 1), bits_of(fit));
      p.first_unit = all.units;
      all.units += static_cast<int>(ceil_div(p.base.out, int64_t{1} << p.unit_shift));
      all.unit_shift = std::max(all.unit_shift, p.unit_shift);
    }
    all.shares = {all.units / processors, all.units % processors};
    return ceil_div(all.units, processors) << all.segment_shift << all.unit_shift <= kStepParts;
  }
};

bool suits(const Projection& p, const LinearArgs& args) {
  const Tensor& w = p.w->data;
  return w.dtype() == p.x.dtype() && p.x.rows() == 1 && p.y.rows() == 1 && w.is_contiguous() && is_whole(p.x) && is_whole(w) &&
         ProductsBuilder::bytes_in(p.x) <= kStepInputBytes && p.y.dim(-1) < 1 << 30 && (!args.gate.defined() || args.gate.rows() == 1) &&
         args.activation == Activation::kNone;
}

void append_copies(const StepProducts& all, std::vector<StepCopy>& copies) {
  for (int i = 0; i < all.count; ++i) {
    const StepProduct& p = all.product[i];
    copies.push_back({.w = p.base.w,
                      .shares = all.shares,
                      .first_unit = p.first_unit,
                      .end_unit = i + 1 < all.count ? all.product[i + 1].first_unit : all.units,
                      .unit_shift = p.unit_shift,
                      .out = p.base.out,
                      .row_bytes = p.row_bytes,
                      .piece_bytes = all.segment_shift > 0 ? p.segment_bytes : p.row_bytes << p.unit_shift,
                      .is_segmented = all.segment_shift > 0,
                      .unused = {}});
  }
}

}  // namespace

struct StepRecorder::Taken {
  StepInstruction instruction = {};
  std::vector<Range> reads, writes;
  std::vector<std::function<void()>> plain;

  template <class Body> Body& body() { return *reinterpret_cast<Body*>(instruction.body); }
};

bool runs_step_programs(int device) {
  static const bool are_wanted = [] {
    const char* setting = std::getenv("LINEA_CUDA_PROGRAMS");
    return !(setting && std::string_view(setting) == "0");
  }();
  return are_wanted && is_hopper(device);
}

StepRecorder::StepRecorder(int device, std::function<cudaStream_t()> enter)
    : device_(device), enter_(std::move(enter)), outer_(current_recorder), type_(DType::kBool) {
  current_recorder = this;
}
StepRecorder::~StepRecorder() { current_recorder = outer_; }

StepRecorder* StepRecorder::of(int device) {
  StepRecorder* recorder = current_recorder;
  return recorder && recorder->device_ == device && !recorder->submitting_ ? recorder : nullptr;
}

bool StepRecorder::has_type(DType type) {
  if (type_ == DType::kBool) type_ = type;
  return type_ == type;
}

StepRecorder::Taken& StepRecorder::take(StepKind kind, std::function<void()> plain) {
  Taken& taken = taken_.emplace_back();
  taken.instruction.kind = kind;
  taken.plain.push_back(std::move(plain));
  return taken;
}

// States are read before the barrier that comes before their instruction, so nothing that was taken may write them.
bool StepRecorder::is_settled(const Tensor& state) const {
  return std::none_of(taken_.begin(), taken_.end(), [&](const Taken& t) { return overlap(t.writes, ranges_of({&state})); });
}

// A norm that was taken last and gives x becomes part of the products, unless it replaces what it reads.
bool StepRecorder::joins_norm(const Tensor& x) const {
  if (taken_.empty() || taken_.back().instruction.kind != StepKind::kNorm) return false;
  const Taken& last = taken_.back();
  const auto& groups = last.instruction.as<StepGroups>();
  return groups.groups == 1 && groups.norm.y == x.raw() && groups.norm.dim == x.dim(-1) && x.dtype() == type_ &&
         !overlap(last.reads, last.writes);
}

bool StepRecorder::project(std::span<const Projection> projections, const LinearArgs& args, std::function<void()> plain) {
  const bool suit =
      !projections.empty() && type_ != DType::kBool && std::all_of(projections.begin(), projections.end(), [&](const Projection& p) {
        return suits(p, args) && (p.x.dtype() == DType::kF32 || p.x.dtype() == type_);
      });
  if (!suit) return false;
  std::vector<ProductsBuilder> instructions(1);
  for (const Projection& p : projections) {
    if (!instructions.back().has_room_for(p)) instructions.emplace_back();
    instructions.back().add(p, args);
  }
  for (ProductsBuilder& b : instructions) {
    if (!b.finish(processors_of(device_))) return false;
  }
  std::vector<std::function<void()>> before;
  if (instructions.size() == 1 && joins_norm(projections[0].x)) {
    ProductsBuilder& b = instructions[0];
    b.all.has_norm = true;
    b.all.norm = taken_.back().instruction.as<StepGroups>().norm;
    append(b.reads, taken_.back().reads);
    append(b.writes, taken_.back().writes);
    before = std::move(taken_.back().plain);
    taken_.pop_back();
  }
  for (ProductsBuilder& b : instructions) {
    Taken& taken = take(StepKind::kProducts, std::exchange(plain, [] {}));
    taken.plain.insert(taken.plain.begin(), before.begin(), before.end());
    before.clear();
    taken.body<StepProducts>() = b.all;
    taken.reads = std::move(b.reads);
    taken.writes = std::move(b.writes);
  }
  return true;
}

bool StepRecorder::mix(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, std::span<const Mix> mixes,
                       std::function<void()> plain) {
  const int64_t dim = x.dim(1);
  const bool suits = x.dim(0) == 1 && dim <= int64_t{32} * processors_of(device_) && dim <= kStepThreads * kStepNormVectors * kVector &&
                     mixes.size() <= kStepMixes && has_vectors(dim, {&x, &w, &bias}) && has_type(mixes[0].y.dtype()) &&
                     (x.dtype() == DType::kF32 || x.dtype() == type_) && is_settled(state);
  if (!suits) return false;
  Taken& taken = take(StepKind::kMix, std::move(plain));
  auto& mix = taken.body<StepMix>();
  mix = {.x = x.raw(),
         .w = floats(w),
         .bias = floats(bias),
         .state = state.data<float>(),
         .m = {},
         .y = {},
         .dim = static_cast<int>(dim),
         .mixes = static_cast<int>(mixes.size()),
         .eps = 1e-5f,
         .x_type = x.dtype()};
  taken.reads = ranges_of({&x, &state});
  taken.writes = ranges_of({&state});
  for (size_t i = 0; i < mixes.size(); ++i) {
    mix.m[i] = floats(mixes[i].m);
    mix.y[i] = mixes[i].y.raw();
    taken.writes.push_back(range_of(mixes[i].y));
  }
  return true;
}

bool StepRecorder::norm(const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args, std::function<void()> plain) {
  const int64_t size = x.dim(-1) / args.groups;
  const bool suits = x.rows() == 1 && size <= kStepThreads * kStepNormVectors * kVector && has_vectors(size, {&x, &y, &w, &args.bias}) &&
                     has_type(y.dtype()) && (x.dtype() == DType::kF32 || x.dtype() == type_);
  if (!suits) return false;
  Taken& taken = take(StepKind::kNorm, std::move(plain));
  taken.body<StepGroups>() = {.norm = {.x = x.raw(),
                                       .w = floats(w),
                                       .bias = floats(args.bias),
                                       .y = y.raw(),
                                       .dim = static_cast<int>(size),
                                       .eps = args.eps,
                                       .centre = args.centre,
                                       .x_type = x.dtype()},
                              .groups = static_cast<int>(args.groups)};
  taken.reads = ranges_of({&x});
  taken.writes = ranges_of({&y});
  return true;
}

// Only together with the product before it, whose outputs it takes.
bool StepRecorder::convolve(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                            Activation activation, std::function<void()> plain) {
  if (taken_.empty() || taken_.back().instruction.kind != StepKind::kProducts) return false;
  Taken& last = taken_.back();
  auto& all = last.body<StepProducts>();
  const Product& p = all.product[0].base;
  const auto offset = static_cast<const char*>(x.raw()) - static_cast<const char*>(p.y);
  const int64_t first = offset / bytes_of(type_), dim = x.dim(1);
  const bool suits = all.count == 1 && all.convolution.taps == 0 && x.dim(0) == 1 && x.dtype() == type_ && y.dtype() == type_ &&
                     p.y_type == type_ && offset >= 0 && first + dim <= p.out && w.dim(0) <= kStepTaps && w.is_contiguous() &&
                     state.is_contiguous() && (activation == Activation::kNone || activation == Activation::kSilu);
  if (!suits) return false;
  all.convolution = {.w = floats(w),
                     .bias = floats(bias),
                     .window = state.data<float>(),
                     .y = y.raw(),
                     .first = static_cast<int>(first),
                     .dim = static_cast<int>(dim),
                     .taps = static_cast<int>(w.dim(0)),
                     .activation = activation};
  append(last.reads, ranges_of({&state}));
  append(last.writes, ranges_of({&state, &y}));
  last.plain.push_back(std::move(plain));
  return true;
}

bool StepRecorder::rwkv7_heads(const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y,
                               std::function<void()> plain) {
  const int64_t size = y.dim(1) / in.heads;
  if (y.dim(0) != 1 || size != kStepHead || !has_type(y.dtype()) || !has_vectors(in) || !has_vectors(out, y)) return false;
  if (!is_settled(state)) return false;
  Taken& taken = take(StepKind::kRwkv7Heads, std::move(plain));
  with_type(type_, "step", [&](auto tag) {
    using T = typename decltype(tag)::type;
    taken.body<StepRwkv7Heads<T>>() = {inputs_op<T>(in), head_params(in, out, state, y), outputs_op<T>(out, y)};
  });
  taken.reads = ranges_of({&in.k, &in.v, &in.rate, &in.decay, &in.v_first, &in.share, &out.q, &out.g, &state});
  taken.writes = ranges_of({&in.k, &in.v, &in.rate, &in.decay, &in.kk, &state, &y});
  return true;
}

bool StepRecorder::mamba2_heads(const Mamba2Heads& in, const Tensor& state, const Tensor& y, std::function<void()> plain) {
  if (y.dim(0) != 1 || in.q.dim(2) > kStepKeys || !has_type(y.dtype()) || !is_settled(state)) return false;
  Taken& taken = take(StepKind::kRecurrence, std::move(plain));
  taken.body<StepRecurrence>() = {mamba2_params(in, state, y), static_cast<int>(in.v.dim(1))};
  taken.reads = ranges_of({&in.q, &in.k, &in.v, &in.step, &in.gate, &state});
  taken.writes = ranges_of({&state, &y});
  return true;
}

void StepRecorder::flush() {
  if (taken_.empty() || submitting_) return;
  submitting_ = true;
  const std::vector<Taken> taken = std::exchange(taken_, {});
  if (taken.size() >= kFewestInstructions) {
    submit_program(taken);
  } else {
    for (const Taken& t : taken) {
      for (const auto& plain : t.plain) plain();
    }
  }
  submitting_ = false;
}

// A barrier comes before every instruction that touches what one since the last barrier writes, or writes what one reads.
void StepRecorder::submit_program(const std::vector<Taken>& taken) {
  std::vector<StepInstruction> instructions;
  std::vector<StepCopy> copies;
  std::vector<Range> reads, writes;
  for (const Taken& t : taken) {
    StepInstruction& instruction = instructions.emplace_back(t.instruction);
    instruction.waits = overlap(t.reads, writes) || overlap(t.writes, writes) || overlap(t.writes, reads);
    if (instruction.waits) reads.clear(), writes.clear();
    append(reads, t.reads);
    append(writes, t.writes);
    if (instruction.kind == StepKind::kProducts) append_copies(instruction.as<StepProducts>(), copies);
  }
  const cudaStream_t stream = enter_();
  const auto kept = std::make_shared<std::vector<Tensor>>();
  const auto upload = [&](const void* values, size_t bytes) {
    const Tensor host({std::max<int64_t>(static_cast<int64_t>(bytes), 1)}, DType::kU8);
    if (bytes > 0) std::memcpy(host.raw(), values, bytes);
    const OutsideRecording outside;
    return kept->emplace_back(host.to({DeviceKind::kCuda, device_})).raw();
  };
  constexpr uint64_t kNobody = 0;
  launch_step(type_,
              {.instructions = static_cast<StepInstruction*>(upload(instructions.data(), instructions.size() * sizeof(StepInstruction))),
               .copies = static_cast<StepCopy*>(upload(copies.data(), copies.size() * sizeof(StepCopy))),
               .instruction_count = static_cast<int>(instructions.size()),
               .copy_count = static_cast<int>(copies.size()),
               .arrivals = static_cast<uint64_t*>(upload(&kNobody, sizeof(kNobody)))},
              device_, stream);
  if (recording_stream()) keep_with_recording(kept);
}

}  // namespace cuda
}  // namespace linea
