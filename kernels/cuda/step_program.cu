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
#include "kernels/cuda/rwkv7_heads.h"
#include "kernels/cuda/step_copies.h"
#include "kernels/cuda/step_kernel.h"
#include "kernels/cuda/step_links.h"

namespace linea {
namespace cuda {
namespace {

constexpr size_t kFewestOps = 6;  // of a program; fewer are launched one by one

thread_local StepRecorder* current_recorder = nullptr;

// A tensor in as many parts, neighbours in memory.
std::vector<MemoryRange> parts_of(const Tensor& t, int64_t count) {
  std::vector<MemoryRange> parts;
  const MemoryRange whole = ranges_of({&t})[0];
  const int64_t bytes = (whole.end - whole.begin) / count;
  for (int64_t i = 0; i < count; ++i) parts.push_back({whole.begin + i * bytes, whole.begin + (i + 1) * bytes});
  return parts;
}

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
  std::vector<StepRow> inputs, takes, gives;
  std::vector<MemoryRange> reads, writes, early;
  int64_t input_bytes = 0, outputs = 0;

  int input_of(const void* x) const {
    for (int i = 0; i < all.inputs; ++i) {
      if (all.input[i].x == x) return i;
    }
    return -1;
  }
  static int64_t bytes_in(const Tensor& x) { return ceil_div(x.dim(-1) * bytes_of(x.dtype()), 128) * 128; }
  static int64_t row_bytes_in(const Projection& p) { return p.x.dim(-1) * bytes_of(p.w->data.dtype()); }

  bool has_room_for(const Projection& p) {
    if (all.count == kMostProducts || (all.count > 0 && segment_shift_of(row_bytes_in(p)) != all.segment_shift)) return false;
    return input_of(p.x.raw()) >= 0 || input_bytes + bytes_in(p.x) <= kStepInputBytes;
  }
  void add(const Projection& p, const LinearArgs& args) {
    int input = input_of(p.x.raw());
    if (input < 0) {
      input = all.inputs++;
      all.input[input] = {p.x.raw(), nullptr, static_cast<int>(p.x.dim(-1) * bytes_of(p.x.dtype())), static_cast<int>(input_bytes), 0};
      input_bytes += bytes_in(p.x);
      inputs.push_back(row_of(p.x, [input](StepInstruction& i, uint32_t* words) { body_of<StepProducts>(i).input[input].words = words; }));
    }
    const int index = all.count;
    const auto of = [index](StepInstruction& i) -> StepProduct& { return body_of<StepProducts>(i).product[index]; };
    if (p.residual.defined()) {
      takes.push_back(row_of(p.residual, [of](StepInstruction& i, uint32_t* words) { of(i).residual_words = words; }));
    }
    append(reads, ranges_of({&args.gate}));
    append(early, ranges_of({&p.bias}));
    gives.push_back(row_of(
        p.y, [of](StepInstruction& i, uint32_t* words) { of(i).y_words = words; }, [of](StepInstruction& i) { of(i).base.y = nullptr; }));
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
  // The first input, which was taken as it lies, is made by every block from `x` instead.
  void make_norm(const StepNorm& norm, const std::vector<MemoryRange>& x) {
    all.has_norm = true;
    all.norm = norm;
    gives.push_back({inputs[0].ranges, {}, [](StepInstruction& i) { body_of<StepProducts>(i).norm.y = nullptr; }});
    inputs[0] = {x, [](StepInstruction& i, uint32_t* words) { body_of<StepProducts>(i).norm.words = words; }, {}};
  }
  // All inputs, which were taken as they lie, are made by every block from the mix's x instead.
  void make_mix(const StepTaken& taken) {
    const auto& mix = taken.instruction.as<StepMix>();
    all.has_mix = true;
    all.norm = {.x = mix.x,
                .words = nullptr,
                .w = mix.w,
                .bias = mix.bias,
                .y = nullptr,
                .dim = mix.dim,
                .eps = mix.eps,
                .centre = true,
                .x_type = mix.x_type};
    all.mixed.state = mix.state;
    for (int i = 0; i < mix.mixes; ++i) {
      const int input = input_of(mix.y[i]);
      all.mixed.m[input] = mix.m[i];
      all.mixed.y[input] = mix.y[i];
      gives.push_back({inputs[static_cast<size_t>(input)].ranges, {}, [input](StepInstruction& instruction) {
                         body_of<StepProducts>(instruction).mixed.y[input] = nullptr;
                       }});
    }
    inputs = {{taken.takes[0].ranges, [](StepInstruction& i, uint32_t* words) { body_of<StepProducts>(i).norm.words = words; }, {}}};
    append(reads, taken.reads);
    append(writes, taken.writes);
    append(early, taken.early);
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
    for (int i = all.count; i-- > 0;) all.input[all.product[i].input].first_unit = all.product[i].first_unit;
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

// Bytes to ask for ahead. Where an instruction reads little, the ring holds it; where it reads much, the ring is seldom full, and asking
// costs the time of the threads that copy.
int foresight_of(const CopyLists& copies, size_t instructions) {
  constexpr int64_t kLeast = 64 << 10, kMost = 300 << 10;  // of an instruction and a processor
  constexpr int kAhead = 256 << 10;                        // 34 MB on a device whose cache has 50
  const int64_t bytes = copies.bytes() / (static_cast<int64_t>(instructions) * copies.processors());
  return bytes >= kLeast && bytes <= kMost ? kAhead : 0;
}

// Whether blocks ask ahead only once all of them have asked for what all need next. Memory does not give all blocks the same: those that
// are early would take from those that all wait for. It pays where every third of the products or more comes before something else: then
// blocks wait long enough to ask later (Mamba-2: every second). Where products follow each other (RWKV-7: four of five) the wait is short,
// and memory would rest in it.
bool asks_together(const std::vector<StepInstruction>& instructions) {
  size_t products = 0;
  for (const StepInstruction& i : instructions) products += i.kind == StepKind::kProducts;
  return 3 * (instructions.size() - products) >= products;
}

// Cycles in which memory gives all processors so many bytes each: the best pace measured, 9 % above the rate of a copy.
int pace_of(int bytes, int device) {
  constexpr double kReached = 0.912;  // of the rate that clock and width make
  const double rate = kReached * memory_rate_of(device);
  return rate > 0 ? static_cast<int>(bytes * processors_of(device) / rate) : 0;
}

}  // namespace

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

StepTaken& StepRecorder::take(StepKind kind, std::function<void()> plain) {
  StepTaken& taken = taken_.emplace_back();
  taken.instruction.kind = kind;
  taken.plain.push_back(std::move(plain));
  return taken;
}

// States are read before the barrier that comes before their instruction, so nothing that was taken may write them.
bool StepRecorder::is_settled(const Tensor& state) const {
  return std::none_of(taken_.begin(), taken_.end(), [&](const StepTaken& t) { return t.writes_any_of(ranges_of({&state})); });
}

// A norm that was taken last and gives x becomes part of the products, unless it replaces what it reads.
bool StepRecorder::joins_norm(const Tensor& x) const {
  if (taken_.empty() || taken_.back().instruction.kind != StepKind::kNorm) return false;
  const StepTaken& last = taken_.back();
  const auto& groups = last.instruction.as<StepGroups>();
  return groups.groups == 1 && groups.norm.y == x.raw() && groups.norm.dim == x.dim(-1) && x.dtype() == type_ &&
         !last.reads_any_of(ranges_of(last.gives));
}

// A mix that was taken last and gives what the products take, and nothing else, becomes part of them where its constants leave most of the
// ring to W.
bool StepRecorder::joins_mix(const StepProducts& products, const std::vector<StepRow>& gives) const {
  if (taken_.empty() || taken_.back().instruction.kind != StepKind::kMix) return false;
  const auto& mix = taken_.back().instruction.as<StepMix>();
  if (mix.mixes != products.inputs || mix.dim > kStepThreads * kVector || taken_.back().reads_any_of(ranges_of(gives))) return false;
  for (int i = 0; i < products.inputs; ++i) {
    const bool made = std::find(mix.y, mix.y + mix.mixes, products.input[i].x) != mix.y + mix.mixes;
    if (!made || products.input[i].bytes != mix.dim * bytes_of(type_)) return false;
  }
  size_t most = 0;
  for (int block = 0; block < processors_of(device_); ++block) most = std::max(most, inputs_of(products, block).size());
  return (kStepMixConstants + static_cast<int>(most)) * pieces_of_mix(mix.dim) <= kStepSlots / 2;
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
  std::vector<MemoryRange> early;
  if (instructions.size() == 1 && joins_mix(instructions[0].all, instructions[0].gives)) {
    before = std::move(taken_.back().plain);
    instructions[0].make_mix(taken_.back());
    taken_.pop_back();
  } else if (instructions.size() == 1 && joins_norm(projections[0].x) && !taken_.back().reads_any_of(ranges_of(instructions[0].gives))) {
    before = std::move(taken_.back().plain);
    early = std::move(taken_.back().early);
    instructions[0].make_norm(taken_.back().instruction.as<StepGroups>().norm, taken_.back().takes[0].ranges);
    taken_.pop_back();
  }
  for (ProductsBuilder& b : instructions) {
    StepTaken& taken = take(StepKind::kProducts, std::exchange(plain, [] {}));
    taken.plain.insert(taken.plain.begin(), before.begin(), before.end());
    before.clear();
    taken.early = std::exchange(early, {});
    append(taken.early, b.early);
    taken.body<StepProducts>() = b.all;
    taken.takes = std::move(b.inputs);
    append(taken.takes, b.takes);
    taken.gives = std::move(b.gives);
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
  StepTaken& taken = take(StepKind::kMix, std::move(plain));
  auto& mix = taken.body<StepMix>();
  mix = {.x = x.raw(),
         .words = nullptr,
         .w = floats(w),
         .bias = floats(bias),
         .state = state.data<float>(),
         .m = {},
         .y = {},
         .y_words = {},
         .dim = static_cast<int>(dim),
         .mixes = static_cast<int>(mixes.size()),
         .eps = 1e-5f,
         .x_type = x.dtype()};
  taken.takes.push_back(row_of(x, [](StepInstruction& instruction, uint32_t* words) { body_of<StepMix>(instruction).words = words; }));
  taken.reads = taken.writes = ranges_of({&state});
  taken.early = ranges_of({&w, &bias, &state});
  for (size_t i = 0; i < mixes.size(); ++i) {
    append(taken.early, ranges_of({&mixes[i].m}));
    mix.m[i] = floats(mixes[i].m);
    mix.y[i] = mixes[i].y.raw();
    taken.gives.push_back(row_of(
        mixes[i].y, [i](StepInstruction& instruction, uint32_t* words) { body_of<StepMix>(instruction).y_words[i] = words; },
        [i](StepInstruction& instruction) { body_of<StepMix>(instruction).y[i] = nullptr; }));
  }
  return true;
}

bool StepRecorder::norm(const Tensor& x, const Tensor& w, const Tensor& y, const GroupNormArgs& args, std::function<void()> plain) {
  const int64_t size = x.dim(-1) / args.groups;
  const bool suits = x.rows() == 1 && size <= kStepThreads * kStepNormVectors * kVector && has_vectors(size, {&x, &y, &w, &args.bias}) &&
                     has_type(y.dtype()) && (x.dtype() == DType::kF32 || x.dtype() == type_);
  if (!suits) return false;
  StepTaken& taken = take(StepKind::kNorm, std::move(plain));
  taken.body<StepGroups>() = {.norm = {.x = x.raw(),
                                       .words = nullptr,
                                       .w = floats(w),
                                       .bias = floats(args.bias),
                                       .y = y.raw(),
                                       .dim = static_cast<int>(size),
                                       .eps = args.eps,
                                       .centre = args.centre,
                                       .x_type = x.dtype()},
                              .groups = static_cast<int>(args.groups)};
  taken.takes.push_back(row_of(x, [](StepInstruction& i, uint32_t* words) { body_of<StepGroups>(i).norm.words = words; }));
  taken.gives.push_back({ranges_of({&y})});
  taken.early = ranges_of({&w, &args.bias});
  return true;
}

// Only together with the product before it, whose outputs it takes.
bool StepRecorder::convolve(const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state, const Tensor& y,
                            Activation activation, std::function<void()> plain) {
  if (taken_.empty() || taken_.back().instruction.kind != StepKind::kProducts) return false;
  StepTaken& last = taken_.back();
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
                     .y_words = nullptr,
                     .first = static_cast<int>(first),
                     .dim = static_cast<int>(dim),
                     .taps = static_cast<int>(w.dim(0)),
                     .activation = activation};
  append(last.reads, ranges_of({&state}));
  append(last.writes, ranges_of({&state}));
  append(last.early, ranges_of({&w, &bias, &state}));
  last.gives.push_back(row_of(
      y, [](StepInstruction& i, uint32_t* words) { body_of<StepProducts>(i).convolution.y_words = words; },
      [](StepInstruction& i) { body_of<StepProducts>(i).convolution.y = nullptr; }));
  last.plain.push_back(std::move(plain));
  return true;
}

bool StepRecorder::rwkv7_heads(const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y,
                               std::function<void()> plain) {
  const int64_t size = y.dim(1) / in.heads;
  if (y.dim(0) != 1 || size != kStepHead || !has_type(y.dtype()) || !has_vectors(in) || !has_vectors(out, y)) return false;
  if (!is_settled(state) || !is_aligned(state.raw(), 0)) return false;
  StepTaken& taken = take(StepKind::kRwkv7Heads, std::move(plain));
  with_type(type_, "step", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Body = StepRwkv7Heads<T>;
    auto& body = taken.body<Body>();
    body.in = inputs_op<T>(in);
    body.recurrence = head_params(in, out, state, y);
    body.out = outputs_op<T>(out, y);
    body.keeps_inputs = body.keeps_y = true;
    const auto takes = [&](const Tensor& t, const uint32_t* Body::*words) {
      if (!t.defined()) return;
      taken.takes.push_back(row_of(t, [words](StepInstruction& i, uint32_t* place) {
        body_of<Body>(i).*words = place;
        body_of<Body>(i).takes_words = true;
      }));
    };
    takes(in.k, &Body::k), takes(in.v, &Body::v), takes(in.rate, &Body::rate), takes(in.decay, &Body::decay);
    takes(in.v_first, &Body::v_first), takes(in.share, &Body::share), takes(out.q, &Body::q), takes(out.g, &Body::g);
    taken.gives.push_back(row_of(
        y, [](StepInstruction& i, uint32_t* words) { body_of<Body>(i).y = words; },
        [](StepInstruction& i) { body_of<Body>(i).keeps_y = false; }));
    taken.gives.push_back(
        {ranges_of({&in.k, &in.rate, &in.decay, &in.kk}), {}, [](StepInstruction& i) { body_of<Body>(i).keeps_inputs = false; }});
    if (in.share.defined()) append(taken.gives.back().ranges, ranges_of({&in.v}));
  });
  taken.takes_words_together = true;
  taken.reads = taken.writes = ranges_of({&state});
  taken.early = parts_of(state, in.heads);
  append(taken.early, ranges_of({&in.k_k, &in.k_a, &out.u, &out.w, &out.bias}));
  return true;
}

bool StepRecorder::mamba2_heads(const Mamba2Heads& in, const Tensor& state, const Tensor& y, std::function<void()> plain) {
  if (y.dim(0) != 1 || in.q.dim(2) > kStepKeys || !has_type(y.dtype()) || !is_settled(state)) return false;
  StepTaken& taken = take(StepKind::kRecurrence, std::move(plain));
  auto& body = taken.body<StepRecurrence>();
  body.recurrence = mamba2_params(in, state, y);
  body.heads = static_cast<int>(in.v.dim(1));
  body.keeps_y = true;
  const bool has_vectors = in.gate.defined() && is_whole(in.q) && is_whole(in.k) && is_whole(in.v) && is_whole(in.gate);
  const auto takes = [&](const Tensor& t, const uint32_t* StepRecurrence::*words) {
    taken.takes.push_back({ranges_of({&t})});
    if (!has_vectors) return;
    taken.takes.back().set_words = [words](StepInstruction& i, uint32_t* place) { body_of<StepRecurrence>(i).*words = place; };
  };
  takes(in.q, &StepRecurrence::q), takes(in.k, &StepRecurrence::k), takes(in.v, &StepRecurrence::v);
  takes(in.step, &StepRecurrence::step), takes(in.gate, &StepRecurrence::gate);
  taken.gives.push_back(row_of(
      y, [](StepInstruction& i, uint32_t* words) { body_of<StepRecurrence>(i).y = words; },
      [](StepInstruction& i) { body_of<StepRecurrence>(i).keeps_y = false; }));
  taken.takes_words_together = true;
  taken.reads = taken.writes = ranges_of({&state});
  taken.early = parts_of(state, in.v.dim(1));
  append(taken.early, ranges_of({&in.step_bias, &in.rate, &in.skip}));
  return true;
}

// Op by op, but for heads that take the products before them along.
void StepRecorder::submit_alone(const std::vector<StepTaken>& taken) {
  for (size_t i = 0; i < taken.size(); ++i) {
    if (i + 1 < taken.size() && projected_heads(type_, taken[i].instruction, taken[i + 1].instruction, device_, enter_)) {
      ++i;
      continue;
    }
    for (const auto& plain : taken[i].plain) plain();
  }
}

void StepRecorder::flush() {
  if (taken_.empty() || submitting_) return;
  submitting_ = true;
  std::vector<StepTaken> taken = std::exchange(taken_, {});
  size_t ops = 0;
  for (const StepTaken& t : taken) ops += t.plain.size();
  if (ops >= kFewestOps) {
    submit_program(std::move(taken));
  } else {
    submit_alone(taken);
  }
  submitting_ = false;
}

// Mixes that became part of products read states that other blocks may not have read yet: rows beside them are written, and replace them
// before the last instruction, where that is another: its weights come meanwhile.
template <class Upload> void settle_states(std::vector<StepTaken>& taken, Upload&& upload) {
  std::vector<float*> to;
  std::vector<int> sizes, places;
  std::vector<StepTaken*> mixed;
  int total = 0;
  StepTaken settle;
  settle.instruction.kind = StepKind::kSettle;
  for (StepTaken& t : taken) {
    if (t.instruction.kind != StepKind::kProducts || !t.instruction.as<StepProducts>().has_mix) continue;
    const auto& all = t.instruction.as<StepProducts>();
    mixed.push_back(&t);
    to.push_back(all.mixed.state);
    sizes.push_back(all.norm.dim);
    places.push_back(total);
    total += all.norm.dim;
    append(settle.writes, t.writes);
  }
  if (mixed.empty()) return;
  const std::vector<float> rows(static_cast<size_t>(total));
  auto* from = static_cast<float*>(upload(rows.data(), rows.size() * sizeof(float)));
  for (size_t i = 0; i < mixed.size(); ++i) mixed[i]->body<StepProducts>().mixed.next_state = from + places[i];
  settle.body<StepSettle>() = {.from = from,
                               .to = static_cast<float**>(upload(to.data(), to.size() * sizeof(float*))),
                               .size = static_cast<int*>(upload(sizes.data(), sizes.size() * sizeof(int))),
                               .place = static_cast<int*>(upload(places.data(), places.size() * sizeof(int))),
                               .rows = static_cast<int>(mixed.size())};
  const bool ends_otherwise = mixed.back() != &taken.back() && taken.back().instruction.kind == StepKind::kProducts;
  taken.insert(ends_otherwise ? taken.end() - 1 : taken.end(), std::move(settle));
}

// A barrier comes before every instruction that touches what one since the last barrier writes, or writes what one reads.
void StepRecorder::submit_program(std::vector<StepTaken> taken) {
  const auto kept = std::make_shared<std::vector<Tensor>>();
  const auto upload = [&](const void* values, size_t bytes) {
    const Tensor host({std::max<int64_t>(static_cast<int64_t>(bytes), 1)}, DType::kU8);
    if (bytes > 0) std::memcpy(host.raw(), values, bytes);
    const OutsideRecording outside;
    return kept->emplace_back(host.to({DeviceKind::kCuda, device_})).raw();
  };
  const cudaStream_t stream = enter_();
  settle_states(taken, upload);
  StepLinks links(taken);
  const std::vector<char> no_words(static_cast<size_t>(links.word_bytes()));
  auto* words = static_cast<char*>(upload(no_words.data(), no_words.size()));
  links.set_words(words);
  std::vector<StepInstruction> instructions;
  std::vector<MemoryRange> reads, writes;
  for (const StepTaken& t : taken) {
    StepInstruction& instruction = instructions.emplace_back(t.instruction);
    instruction.waits = overlap(t.reads, writes) || overlap(t.writes, writes) || overlap(t.writes, reads);
    if (instruction.waits) reads.clear(), writes.clear();
    append(reads, t.reads);
    append(writes, t.writes);
  }
  const auto* uploaded = static_cast<StepInstruction*>(upload(instructions.data(), instructions.size() * sizeof(StepInstruction)));
  // Who asks for words before they are given, or for a state or an instruction, would wait for memory behind all weights that have been
  // asked for: they come before the weights of the products before, since nothing more is asked for while blocks are still copying those.
  CopyLists copies(processors_of(device_));
  const bool together = asks_together(instructions);
  size_t asked = 0;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (instructions[i].kind != StepKind::kProducts) continue;
    size_t next = i + 1;
    while (next < taken.size() && instructions[next].kind != StepKind::kProducts) ++next;
    for (; asked < taken.size() && asked <= next; ++asked) {
      const auto* body = reinterpret_cast<const char*>(uploaded + asked);
      copies.append_early({{body, body + sizeof(StepInstruction)}});
      copies.append_early(links.words_given(asked, words));
      copies.append_early(taken[asked].early);
    }
    copies.append(instructions[i].as<StepProducts>(), together);
  }
  const std::vector<StepCopy> all_copies = copies.flat();
  constexpr uint64_t kNobody[3] = {};
  auto* counts = static_cast<uint64_t*>(upload(kNobody, sizeof(kNobody)));
  launch_step(type_,
              {.instructions = uploaded,
               .copies = static_cast<StepCopy*>(upload(all_copies.data(), all_copies.size() * sizeof(StepCopy))),
               .instruction_count = static_cast<int>(instructions.size()),
               .copy_pitch = copies.pitch(),
               .arrivals = counts,
               .begun = reinterpret_cast<unsigned long long*>(counts + 1),
               .copied = reinterpret_cast<uint32_t*>(counts + 2),
               .counted = copies.counted(),
               .ahead = foresight_of(copies, instructions.size()),
               .pace = pace_of(kStepAskedBytes, device_)},
              device_, stream);
  if (recording_stream()) keep_with_recording(kept);
}

}  // namespace cuda
}  // namespace linea
