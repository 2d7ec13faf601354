// oneDNN changed the construction of primitives between 2 and 3 (operation descriptors went away, eltwise lost its scale); the functions
// under "The two versions" hide that, the rest is common to both.
//
// Measured (2 cores, AVX-512, oneDNN 2.6.3): a product with the checkpoint's [out, in] layout runs as fast as with packed weights
// (480 GFLOP/s f32, 1030 bf16); with matrix units packed ones are ahead by a quarter and more (docs/performance.md), in panels of 48
// outputs by more than of 64 or 32 where other programs share the core.
#include "kernels/cpu/onednn.h"

#include <dnnl.hpp>

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/error.h"

namespace linea::cpu::onednn {
namespace {

using dnnl::memory;
using Key = std::vector<int64_t>;
using Arguments = std::unordered_map<int, memory>;

constexpr size_t kCacheLimit = 4096;  // primitives; a server meets many prompt lengths, so the cache starts anew when it is full

dnnl::engine& engine() {
  static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
  return instance;
}

memory::data_type type_of(Element type) {
  switch (type) {
    case Element::kF32: return memory::data_type::f32;
    case Element::kBF16: return memory::data_type::bf16;
    case Element::kF16: return memory::data_type::f16;
  }
  return memory::data_type::undef;
}

// ---- The two versions --------------------------------------------------------------------------------------------------------------

#if DNNL_VERSION_MAJOR >= 3
void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha) { ops.append_eltwise(algorithm, alpha, 0.0f); }

dnnl::matmul::primitive_desc matmul_desc(const memory::desc& x, const memory::desc& w, const memory::desc* bias, const memory::desc& y,
                                         const dnnl::primitive_attr& attributes) {
  return bias ? dnnl::matmul::primitive_desc(engine(), x, w, *bias, y, attributes)
              : dnnl::matmul::primitive_desc(engine(), x, w, y, attributes);
}

dnnl::convolution_forward::primitive_desc convolution_desc(const memory::desc& x, const memory::desc& w, const memory::desc& bias,
                                                           const memory::desc& y, const memory::dims& strides, const memory::dims& begin,
                                                           const memory::dims& end, const dnnl::primitive_attr& attributes) {
  return {engine(),  dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, x, w, bias, y, strides, begin, end,
          attributes};
}
#else
void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha) { ops.append_eltwise(1.0f, algorithm, alpha, 0.0f); }

dnnl::matmul::primitive_desc matmul_desc(const memory::desc& x, const memory::desc& w, const memory::desc* bias, const memory::desc& y,
                                         const dnnl::primitive_attr& attributes) {
  const dnnl::matmul::desc operation = bias ? dnnl::matmul::desc(x, w, *bias, y) : dnnl::matmul::desc(x, w, y);
  return {operation, attributes, engine()};
}

dnnl::convolution_forward::primitive_desc convolution_desc(const memory::desc& x, const memory::desc& w, const memory::desc& bias,
                                                           const memory::desc& y, const memory::dims& strides, const memory::dims& begin,
                                                           const memory::dims& end, const dnnl::primitive_attr& attributes) {
  const dnnl::convolution_forward::desc operation(dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, x, w, bias, y,
                                                  strides, begin, end);
  return {operation, attributes, engine()};
}
#endif

// ---- Common ------------------------------------------------------------------------------------------------------------------------

void append_activation(dnnl::post_ops& ops, Act act) {
  switch (act) {
    case Act::kNone: return;
    case Act::kRelu: return append_eltwise(ops, dnnl::algorithm::eltwise_relu, 0.0f);
    case Act::kSilu: return append_eltwise(ops, dnnl::algorithm::eltwise_swish, 1.0f);
    case Act::kGeluTanh: return append_eltwise(ops, dnnl::algorithm::eltwise_gelu_tanh, 0.0f);
  }
}

struct Primitive {
  dnnl::primitive primitive;
  std::map<int, memory::desc> arguments;  // by DNNL_ARG
  bool unpacks = false;                   // wants packed weights as [out, in]
};

// While it lives, oneDNN plans for teams of so many threads, and gets them: of a plan for more threads than there are it leaves a part
// undone, and OMP_THREAD_LIMIT and OMP_DYNAMIC make teams smaller than asked for.
class Team {
 public:
  explicit Team(int threads) : threads_before_(omp_get_max_threads()), dynamic_before_(omp_get_dynamic()) {
    omp_set_dynamic(0);
    omp_set_num_threads(std::min(threads, omp_get_thread_limit()));
  }
  ~Team() {
    omp_set_num_threads(threads_before_);
    omp_set_dynamic(dynamic_before_);
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

 private:
  int threads_before_, dynamic_before_;
};

template <class Build> std::shared_ptr<const Primitive> cached(const Key& key, Build build) {
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<const Primitive>> cache;
  {
    const std::lock_guard lock(mutex);
    const auto found = cache.find(key);
    if (found != cache.end()) return found->second;
  }
  auto made = std::make_shared<const Primitive>(build());
  const std::lock_guard lock(mutex);
  if (cache.size() >= kCacheLimit) cache.clear();
  cache.emplace(key, made);
  return made;
}

// oneDNN's own temporaries (packed panels, at most a megabyte or so a thread) are kept for the thread's next call.
void* scratchpad(size_t bytes) {
  static thread_local std::vector<char> buffer;
  constexpr size_t kAlignment = 64;
  if (buffer.size() < bytes + kAlignment) buffer.resize(bytes + kAlignment);
  const uintptr_t address = reinterpret_cast<uintptr_t>(buffer.data());
  return reinterpret_cast<void*>((address + kAlignment - 1) / kAlignment * kAlignment);
}

void execute(const Primitive& p, std::initializer_list<std::pair<int, const void*>> pointers) {
  static thread_local dnnl::stream stream(engine());
  Arguments arguments;
  for (const auto& [index, pointer] : pointers) {
    const auto desc = p.arguments.find(index);
    if (desc != p.arguments.end()) arguments.emplace(index, memory(desc->second, engine(), const_cast<void*>(pointer)));
  }
  const memory::desc& scratch = p.arguments.at(DNNL_ARG_SCRATCHPAD);
  arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(scratch, engine(), scratchpad(scratch.get_size())));
  p.primitive.execute(stream, arguments);
  stream.wait();
}

[[noreturn]] void rethrow(const dnnl::error& e, const std::string& what) {
  throw Error(e.status == dnnl_out_of_memory ? ErrorKind::kMemory : ErrorKind::kInternal, "oneDNN: " + what + ": " + e.what());
}

}  // namespace

struct PackedLayout::Descriptors {
  memory::desc plain, packed;
};

namespace {

memory::desc plain_matrix(int64_t out, int64_t in, Element type) { return {{in, out}, type_of(type), memory::dims{1, in}}; }

constexpr int kGateArgument(int post_op) { return DNNL_ARG_ATTR_MULTIPLE_POST_OP(post_op) | DNNL_ARG_SRC_1; }

bool is_batch_reduce(const std::string& implementation) { return implementation.rfind("brg", 0) == 0; }

Primitive build_matmul(const Matmul& c) {
  const memory::data_type type = type_of(c.type), f32 = memory::data_type::f32;
  const memory::desc x({c.rows, c.in}, type, memory::dims{c.x_pitch, 1});
  memory::desc w = c.w_layout ? c.w_layout->descriptors().packed : plain_matrix(c.out, c.in, c.type);
  const memory::desc y({c.rows, c.out}, type_of(c.y_type), memory::dims{c.y_pitch, 1});
  const memory::desc row({1, c.out}, f32, memory::dims{c.out, 1});
  dnnl::post_ops ops;
  append_activation(ops, c.act);
  const int gate_position = ops.len();
  if (c.gate) ops.append_binary(dnnl::algorithm::binary_mul, row);
  if (c.accumulate) ops.append_sum(1.0f);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(ops);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto describe = [&] { return matmul_desc(x, w, c.bias ? &row : nullptr, y, attributes); };
  auto desc = describe();
  // What is not served fast as it is packed (rows with a pitch in 2.6) would go to the library's reference, a thousand times slower.
  const bool unpacks = c.w_layout && !is_batch_reduce(desc.impl_info_str());
  if (unpacks) {
    w = plain_matrix(c.out, c.in, c.type);
    desc = describe();
  }
  Primitive result{dnnl::matmul(desc), {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}}, unpacks};
  if (c.bias) result.arguments.emplace(DNNL_ARG_BIAS, row);
  if (c.gate) result.arguments.emplace(kGateArgument(gate_position), row);
  result.arguments.emplace(DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc());
  return result;
}

}  // namespace

void limit_isa(const char* isa_name) {
  const std::string name = isa_name;
  dnnl::cpu_isa isa = dnnl::cpu_isa::sse41;
  if (name == "avx2") isa = dnnl::cpu_isa::avx2;
  if (name.starts_with("avx512")) return;
  dnnl::set_max_cpu_isa(isa);
}

namespace {

// The name of the implementation that oneDNN picks for a product of this type; empty when it has none.
std::string matmul_implementation(Element type) {
  const memory::desc square({64, 64}, type_of(type), memory::format_tag::ab), transposed({64, 64}, type_of(type), memory::format_tag::ba);
  try {
    return matmul_desc(square, transposed, nullptr, square, {}).impl_info_str();
  } catch (const dnnl::error&) {
    return {};
  }
}

}  // namespace

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

bool is_native(Element type) {
  static const bool bf16 = !matmul_implementation(Element::kBF16).empty();
  return type == Element::kF32 || (type == Element::kBF16 && bf16);
}

bool has_matmul(Element type) {
  static const bool f32 = is_batch_reduce(matmul_implementation(Element::kF32)),
                    bf16 = is_batch_reduce(matmul_implementation(Element::kBF16));
  return (type == Element::kF32 && f32) || (type == Element::kBF16 && bf16);
}

bool has_bf16_matrices() {
#if defined(__x86_64__)
  constexpr auto kMatrices = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_amx);  // a set of bits: newer processors have more
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kMatrices) == kMatrices && is_native(Element::kBF16);
#else
  return false;
#endif
}

namespace {

void reorder(const memory::desc& from_desc, const void* from, const memory::desc& to_desc, void* to) {
  try {
    memory source(from_desc, engine(), const_cast<void*>(from)), target(to_desc, engine(), to);
    dnnl::stream stream(engine());
    dnnl::reorder(source, target).execute(stream, source, target);
    stream.wait();
  } catch (const dnnl::error& e) {
    rethrow(e, "reordering a matrix");
  }
}

}  // namespace

PackedLayout::PackedLayout(std::unique_ptr<Descriptors> descriptors) : descriptors_(std::move(descriptors)) {}
PackedLayout::~PackedLayout() = default;

int64_t PackedLayout::bytes() const { return static_cast<int64_t>(descriptors_->packed.get_size()); }

void PackedLayout::pack(const void* w, void* to) const { reorder(descriptors_->plain, w, descriptors_->packed, to); }
void PackedLayout::unpack(const void* packed, void* to) const { reorder(descriptors_->packed, packed, descriptors_->plain, to); }

std::shared_ptr<const PackedLayout> packed_layout(int64_t out, int64_t in) {
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<const PackedLayout>> layouts;
  const std::lock_guard lock(mutex);
  std::shared_ptr<const PackedLayout>& layout = layouts[{out, in}];
  if (layout) return layout;
  try {
    layout = std::make_shared<const PackedLayout>(std::make_unique<PackedLayout::Descriptors>(PackedLayout::Descriptors{
        plain_matrix(out, in, Element::kBF16), {{in, out}, memory::data_type::bf16, memory::format_tag::BA16a48b2a}}));
  } catch (const dnnl::error& e) {
    rethrow(e, "the layout of a matrix of " + std::to_string(out) + "×" + std::to_string(in));
  }
  return layout;
}

void matmul(const Matmul& c) {
  const int64_t flags = (c.bias ? 1 : 0) | (c.gate ? 2 : 0) | (c.accumulate ? 4 : 0) | static_cast<int64_t>(c.act) << 4 |
                        static_cast<int64_t>(c.type) << 8 | static_cast<int64_t>(c.y_type) << 12 | (c.w_layout ? 1 << 16 : 0);
  // Waking threads costs more than a small product.
  constexpr int64_t kSmall = 1 << 20;
  const Team team(c.rows * c.in * c.out < kSmall ? 1 : omp_get_max_threads());
  try {
    const auto primitive =
        cached({0, c.rows, c.in, c.out, c.x_pitch, c.y_pitch, flags, omp_get_max_threads()}, [&] { return build_matmul(c); });
    const int gate_position = c.act == Act::kNone ? 0 : 1;
    std::vector<uint16_t> unpacked(primitive->unpacks ? static_cast<size_t>(c.in * c.out) : 0);
    if (primitive->unpacks) c.w_layout->unpack(c.w, unpacked.data());
    execute(*primitive, {{DNNL_ARG_SRC, c.x},
                         {DNNL_ARG_WEIGHTS, primitive->unpacks ? unpacked.data() : c.w},
                         {DNNL_ARG_DST, c.y},
                         {DNNL_ARG_BIAS, c.bias},
                         {kGateArgument(gate_position), c.gate}});
  } catch (const dnnl::error& e) {
    rethrow(e, "product of " + std::to_string(c.rows) + "×" + std::to_string(c.in) + " and " + std::to_string(c.in) + "×" +
                   std::to_string(c.out));
  }
}

// ---- Convolution -------------------------------------------------------------------------------------------------------------------

struct Filter::Packed {
  std::mutex mutex;
  std::vector<std::pair<memory::desc, memory>> forms;
};

Filter::Filter(std::shared_ptr<const void> plain, int64_t out, int64_t in, int64_t kernel_height, int64_t kernel_width, Element type)
    : plain_(std::move(plain)),
      out_(out),
      in_(in),
      kernel_height_(kernel_height),
      kernel_width_(kernel_width),
      type_(type),
      packed_(std::make_unique<Packed>()) {}

Filter::~Filter() = default;

namespace {

memory packed_form(Filter& filter, const memory::desc& wanted) {
  Filter::Packed& packed = filter.packed();
  const std::lock_guard lock(packed.mutex);
  for (const auto& [desc, form] : packed.forms) {
    if (desc == wanted) return form;
  }
  const memory::dims dims = {filter.out(), filter.in(), filter.kernel_height(), filter.kernel_width()};
  memory plain(memory::desc(dims, type_of(filter.type()), memory::format_tag::oihw), engine(), const_cast<void*>(filter.plain()));
  memory form(wanted, engine());
  dnnl::stream stream(engine());
  dnnl::reorder(plain, form).execute(stream, plain, form);
  stream.wait();
  packed.forms.emplace_back(wanted, form);
  return form;
}

Primitive build_convolution(const Filter& filter, const Convolution& c) {
  const memory::data_type type = type_of(filter.type()), f32 = memory::data_type::f32;
  const memory::desc x({1, filter.in(), c.height, c.width}, type, memory::format_tag::nhwc);
  const memory::desc any({filter.out(), filter.in(), filter.kernel_height(), filter.kernel_width()}, type, memory::format_tag::any);
  const memory::desc y({1, filter.out(), c.out_height, c.out_width}, type_of(c.y_type), memory::format_tag::nhwc);
  const memory::desc bias = c.bias ? memory::desc({filter.out()}, f32, memory::format_tag::x) : memory::desc();
  dnnl::post_ops ops;
  append_activation(ops, c.act);
  if (c.accumulate) ops.append_sum(1.0f);
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(ops);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const Team one(1);
  const auto desc =
      convolution_desc(x, any, bias, y, {c.stride, c.stride}, {c.pad_top, c.pad_left}, {c.pad_bottom, c.pad_right}, attributes);
  Primitive result{dnnl::convolution_forward(desc), {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, desc.weights_desc()}, {DNNL_ARG_DST, y}}};
  if (c.bias) result.arguments.emplace(DNNL_ARG_BIAS, bias);
  result.arguments.emplace(DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc());
  return result;
}

}  // namespace

void convolve(Filter& filter, const Convolution& c) {
  const int64_t flags = (c.bias ? 1 : 0) | (c.accumulate ? 4 : 0) | static_cast<int64_t>(c.act) << 4 |
                        static_cast<int64_t>(filter.type()) << 8 | static_cast<int64_t>(c.y_type) << 12;
  try {
    const auto primitive = cached({1, filter.out(), filter.in(), filter.kernel_height(), filter.kernel_width(), c.height, c.width,
                                   c.out_height, c.out_width, c.stride, c.pad_top, c.pad_bottom, c.pad_left, c.pad_right, flags},
                                  [&] { return build_convolution(filter, c); });
    const memory weights = packed_form(filter, primitive->arguments.at(DNNL_ARG_WEIGHTS));
    execute(*primitive, {{DNNL_ARG_SRC, c.x}, {DNNL_ARG_WEIGHTS, weights.get_data_handle()}, {DNNL_ARG_DST, c.y}, {DNNL_ARG_BIAS, c.bias}});
  } catch (const dnnl::error& e) {
    rethrow(e, "convolution of " + std::to_string(c.height) + "×" + std::to_string(c.width) + "×" + std::to_string(filter.in()) + " to " +
                   std::to_string(filter.out()));
  }
}

}  // namespace linea::cpu::onednn
