#include "lm/state.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "core/threads.h"
#include "lm/state_memory.h"

namespace linea {
namespace {

constexpr int64_t kPartAlignment = 64;             // floats: more than a vector or a cache line of any device
constexpr int64_t kPieceBytes = int64_t{1} << 20;  // of a copy, for one thread

// Calls work(first byte, bytes) for pieces of a block, on several threads where it lies on the host. Each takes the next piece when it has
// done one: where the pages of one half are slower to reach than the other's, both threads share what is slow.
template <class Work> void for_pieces(Device device, int64_t bytes, const Work& work) {
  if (!device.is_cpu()) return work(0, bytes);
  const int64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  std::atomic<int64_t> next = 0;
  parallel_for(std::min<int64_t>(pieces, thread_count()), 1, [&](int64_t, int64_t) {
    for (int64_t i = next++; i < pieces; i = next++) work(i * kPieceBytes, std::min(kPieceBytes, bytes - i * kPieceBytes));
  });
}

char* at(const Tensor& t, int64_t byte) { return static_cast<char*>(t.raw()) + byte; }

void fill_with_zeros(const Tensor& t) {
  const std::vector<char> zeros(static_cast<size_t>(t.device().is_cpu() ? std::min(t.bytes(), kPieceBytes) : t.bytes()));
  Allocator& allocator = allocator_of(t.device());
  for_pieces(t.device(), t.bytes(), [&](int64_t first, int64_t bytes) { allocator.copy_from_host(at(t, first), zeros.data(), bytes); });
}

std::vector<char> bytes_on_host(const Tensor& t) {
  std::vector<char> bytes(static_cast<size_t>(t.bytes()));
  allocator_of(t.device()).copy_to_host(bytes.data(), t.raw(), t.bytes());
  return bytes;
}

// From device to device through the host: a copied state is a branch of a conversation, not part of any inner loop.
void copy_values(const Tensor& from, const Tensor& to) {
  LINEA_ASSERT(from.bytes() == to.bytes() && from.is_contiguous() && to.is_contiguous());
  Allocator& allocator = allocator_of(to.device());
  if (!from.device().is_cpu()) return allocator.copy_from_host(to.raw(), bytes_on_host(from).data(), to.bytes());
  for_pieces(to.device(), to.bytes(),
             [&](int64_t first, int64_t bytes) { allocator.copy_from_host(at(to, first), at(from, first), bytes); });
}

bool same_values(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  if (a.device().is_cpu() && b.device().is_cpu()) return std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
  return bytes_on_host(a) == bytes_on_host(b);
}

int64_t padded(const Shape& shape) { return (shape.elements() + kPartAlignment - 1) / kPartAlignment * kPartAlignment; }  // floats

Shape with_first(int64_t count, const Shape& one) {
  Shape shape = {count};
  for (int i = 0; i < one.rank(); ++i) shape.push_back(one[i]);
  return shape;
}

}  // namespace

std::shared_ptr<const State::Values> State::allocated(const Shapes& layers, Device device, bool more_will_follow) {
  int64_t total = 0;
  for (const std::vector<Shape>& parts : layers) {
    for (const Shape& shape : parts) total += padded(shape);
  }
  return in(state_block(total, device, more_will_follow), layers);
}

std::shared_ptr<State::Values> State::in(const Tensor& block, const Shapes& layers) {
  auto values = std::make_shared<Values>();
  values->block = block;
  values->home = block.device();
  int64_t first = 0;
  for (const std::vector<Shape>& parts : layers) {
    std::vector<Tensor>& layer = values->layers.emplace_back();
    for (const Shape& shape : parts) {
      layer.push_back(block.slice(0, first, shape.elements()).reshape(shape));
      first += padded(shape);
    }
  }
  return values;
}

State::Shapes State::shapes_of(const Values& values) {
  Shapes shapes;
  for (const std::vector<Tensor>& layer : values.layers) {
    std::vector<Shape>& parts = shapes.emplace_back();
    for (const Tensor& part : layer) parts.push_back(part.shape());
  }
  return shapes;
}

std::shared_ptr<const State::Values> State::unfilled_like(const Values& values) {
  return allocated(shapes_of(values), values.home, /*more_will_follow=*/true);
}

std::shared_ptr<const State::Values> State::copied(const Values& values) {
  auto copy = unfilled_like(values);
  if (values.block.defined()) {
    copy_values(values.block, copy->block);
    return copy;
  }
  for (size_t i = 0; i < values.layers.size(); ++i) {
    for (size_t j = 0; j < values.layers[i].size(); ++j) copy_values(values.layers[i][j], copy->layers[i][j]);
  }
  return copy;
}

State::State(int64_t layers, const std::vector<Shape>& parts, Device device)
    : values_(allocated(Shapes(static_cast<size_t>(layers), parts), device, /*more_will_follow=*/false)) {
  fill_with_zeros(values_->block);
}

State State::repeated(const State& one, int64_t count) {
  Shapes shapes;
  for (int64_t i = 0; i < one.layers(); ++i) {
    std::vector<Shape>& parts = shapes.emplace_back();
    for (const Tensor& part : one.layer(i)) parts.push_back(with_first(count, part.shape()));
  }
  State result;
  result.sequences_ = count;
  result.values_ = allocated(shapes, one.values_->home, /*more_will_follow=*/false);
  for (int64_t i = 0; i < count; ++i) result.set_sequence(i, one);
  return result;
}

State State::unfilled() const {
  State state;
  state.values_ = unfilled_like(*values_);
  state.sequences_ = sequences_;
  return state;
}

// The copy counts as an owner, which orders what others have read before what is written next.
void State::own() {
  const std::shared_ptr<const Values> mine = values_;
  if (mine && (mine.use_count() > 2 || mine->foreign)) values_ = copied(*mine);
}

State State::sequence(int64_t index) const {
  auto view = std::make_shared<Values>();
  view->home = values_->home;
  for (const std::vector<Tensor>& layer : values_->layers) {
    std::vector<Tensor>& parts = view->layers.emplace_back();
    for (const Tensor& part : layer) parts.push_back(part.select(0, index));
  }
  State state;
  state.values_ = std::move(view);
  return state;
}

State State::sequence_alone(int64_t index) const {
  State state;
  state.values_ = copied(*sequence(index).values_);
  return state;
}

void State::set_sequence(int64_t index, const State& one) {
  own();
  for (int64_t i = 0; i < layers(); ++i) {
    for (size_t j = 0; j < layer(i).size(); ++j) copy_values(one.layer(i)[j], layer(i)[j].select(0, index));
  }
}

int64_t State::block_bytes() const {
  int64_t floats = 0;
  visit_block([&](int64_t, const Tensor& part) { floats += padded(part.shape()); });
  return floats * bytes_of(DType::kF32);
}

void State::visit_block(const std::function<void(int64_t offset, const Tensor& part)>& visit) const {
  int64_t first = 0;
  for (int64_t i = 0; i < layers(); ++i) {
    for (const Tensor& part : layer(i)) {
      visit(first * bytes_of(DType::kF32), part);
      first += padded(part.shape());
    }
  }
}

State State::in_block(const State& like, void* block, const std::shared_ptr<const void>& owner) {
  const std::shared_ptr<Values> values =
      in(Tensor(block, {like.block_bytes() / bytes_of(DType::kF32)}, DType::kF32, kCpuDevice, owner), shapes_of(*like.values_));
  values->foreign = true;
  values->home = like.values_->home;
  State state;
  state.values_ = values;
  state.sequences_ = like.sequences_;
  return state;
}

int64_t State::bytes() const {
  int64_t sum = 0;
  for (int64_t i = 0; i < layers(); ++i) {
    for (const Tensor& part : layer(i)) sum += part.bytes();
  }
  return sum;
}

bool State::operator==(const State& other) const {
  if (values_ == other.values_) return true;
  if (layers() != other.layers()) return false;
  for (int64_t i = 0; i < layers(); ++i) {
    if (!std::equal(layer(i).begin(), layer(i).end(), other.layer(i).begin(), other.layer(i).end(), same_values)) return false;
  }
  return true;
}

}  // namespace linea
