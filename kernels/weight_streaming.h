// kernels/weight_streaming.h: layers whose weights come to the device when their turn comes, for models that do not fit.
//
// A streamed layer has its home on the host: the mapped file's tensors where the device takes those as they are (the CPU), else one block
// of the prepared weights, pinned where there is room. Two slots of the device's memory take turns: while a layer computes in one, the next
// is copied into the other. The numbers are those of resident layers, so the results have the same bits.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/backend.h"

namespace linea {

// Copies host memory into a device's beside the device's work, in the order of the calls.
class Copier {
 public:
  struct Copy {
    void* to;
    const void* from;
    int64_t bytes;
  };
  virtual ~Copier() = default;  // waits for what was started
  // Begins, once the work that was submitted before this call is done with the memory. `slot` is 0 or 1.
  virtual void start(int slot, std::vector<Copy> copies) = 0;
  // What is submitted from here on finds the slot's copies done.
  virtual void finish(int slot) = 0;
};

// What streaming asks of a device; one a device kind.
class WeightStreaming {
 public:
  virtual ~WeightStreaming() = default;
  // The tensors that a prepared matrix is made of, and the same matrix made of tensors elsewhere, whose contents change.
  virtual std::vector<Tensor> parts_of(const Weight& w) const = 0;
  virtual Weight with_parts(const Weight& w, std::span<const Tensor> parts) const = 0;
  // Homes of layers whose tensors lie on the device: one host tensor a device tensor, with their contents.
  virtual std::vector<Tensor> bring_home(std::span<const Tensor> tensors) const = 0;
  virtual std::unique_ptr<Copier> open_copier(Context& ctx) const = 0;
};
const WeightStreaming& weight_streaming_of(Device device);
// Whether homes are in other memory than the device's: where they are not, converted layers at home save nothing.
inline bool homes_lie_elsewhere(Device device) { return !device.is_cpu(); }

// Copies on a thread of its own: of the CPU, and of tests.
std::unique_ptr<Copier> thread_copier();

// Visits every Tensor& and Weight& of a layer; specialised beside each layer type.
template <class Layer> struct LayerTensors;  // static void visit(Layer&, const auto& visit)

// ---- Without the type of the layer --------------------------------------------------------------------------------------------------

// Where a layer's tensors lie in a slot.
struct SlotLayout {
  struct Place {
    Shape shape;
    DType dtype;
    int64_t offset;
  };
  std::vector<Place> places;
  int64_t bytes = 0;

  static SlotLayout of(std::span<const Tensor> tensors);
  std::vector<Tensor> views(const Tensor& slot) const;
  bool suits(std::span<const Tensor> tensors) const;  // same shapes and types
  static Tensor nowhere(Device device);               // stands for a slot where only shapes matter
};

// The two slots and who fills them, of one run through the layers at a time.
class SlotRing {
 public:
  // Takes the slots from ctx.arena. `homes`: of each streamed layer. `cycles`: after the last layer comes the first again.
  SlotRing(Context& ctx, const SlotLayout& layout, const std::vector<std::vector<Tensor>>& homes, bool cycles);
  const Tensor& slot(int index) const { return slots_[static_cast<size_t>(index)]; }
  // The slot that holds streamed layer `n`, which must be the one after the last asked for; the next one's copy begins.
  int acquire(size_t n);

 private:
  void start(size_t use);

  const SlotLayout& layout_;
  const std::vector<std::vector<Tensor>>& homes_;
  bool cycles_;
  std::vector<Tensor> slots_;
  std::unique_ptr<Copier> copier_;  // null when planning
  size_t used_ = 0, started_ = 0;
};

// ---- The layers of a model ----------------------------------------------------------------------------------------------------------

template <class Layer> class LayerStore {
 public:
  LayerStore() = default;

  // `load(i, stays)` prepares layer i. The first `resident` ones, spread evenly over the model, stay on the device; the others get their
  // homes.
  template <class Load> void load(Context& ctx, size_t count, size_t resident, const Load& load) {
    const WeightStreaming& streaming = weight_streaming_of(ctx.backend->device());
    entries_.clear(), homes_.clear();
    for (size_t i = 0; i < count; ++i) {
      const bool stays = (i + 1) * resident / count > i * resident / count;
      Layer layer = load(i, stays);
      if (stays) {
        entries_.push_back({std::move(layer), -1});
        continue;
      }
      const std::vector<Tensor> tensors = tensors_of(streaming, layer);
      if (homes_.empty()) {
        layout_ = SlotLayout::of(tensors);
        // The pattern tells shapes alone, so that its memory is given back with the layer.
        pattern_ = bound(streaming, layer, layout_.views(SlotLayout::nowhere(ctx.backend->device())));
      }
      LINEA_ASSERT(layout_.suits(tensors));
      entries_.push_back({Layer(), static_cast<int64_t>(homes_.size())});
      homes_.push_back(streaming.bring_home(tensors));
    }
  }

  size_t size() const { return entries_.size(); }
  size_t streamed() const { return homes_.size(); }
  int64_t slot_bytes() const { return layout_.bytes; }

  // One user's way through the layers, first to last, again and again where it cycles. Lives in the scope of ctx.arena where it was made;
  // the store must outlive it.
  class Pass {
   public:
    Pass(Context& ctx, const LayerStore& store, bool cycles) : store_(store) {
      if (store.homes_.empty()) return;
      ring_.emplace(ctx, store.layout_, store.homes_, cycles);
      const WeightStreaming& streaming = weight_streaming_of(ctx.backend->device());
      for (int s = 0; s < 2; ++s) in_slots_.push_back(bound(streaming, store.pattern_, store.layout_.views(ring_->slot(s))));
    }
    const Layer& operator[](size_t i) {
      const Entry& entry = store_.entries_[i];
      return entry.home < 0 ? entry.layer : in_slots_[static_cast<size_t>(ring_->acquire(static_cast<size_t>(entry.home)))];
    }

   private:
    const LayerStore& store_;
    std::vector<Layer> in_slots_;  // before the ring: its copies must end first
    std::optional<SlotRing> ring_;
  };

 private:
  struct Entry {
    Layer layer;
    int64_t home;  // -1 = resident
  };

  static std::vector<Tensor> tensors_of(const WeightStreaming& streaming, Layer& layer) {
    std::vector<Tensor> tensors;
    LayerTensors<Layer>::visit(layer, [&](auto& member) {
      if constexpr (std::is_same_v<std::decay_t<decltype(member)>, Weight>) {
        for (const Tensor& part : streaming.parts_of(member)) tensors.push_back(part);
      } else if (member.defined()) {
        tensors.push_back(member);
      }
    });
    return tensors;
  }

  static Layer bound(const WeightStreaming& streaming, const Layer& pattern, const std::vector<Tensor>& tensors) {
    Layer layer = pattern;
    std::span<const Tensor> rest = tensors;
    LayerTensors<Layer>::visit(layer, [&](auto& member) {
      if constexpr (std::is_same_v<std::decay_t<decltype(member)>, Weight>) {
        const size_t parts = streaming.parts_of(member).size();
        member = streaming.with_parts(member, rest.first(parts));
        rest = rest.subspan(parts);
      } else if (member.defined()) {
        member = rest.front();
        rest = rest.subspan(1);
      }
    });
    return layer;
  }

  std::vector<Entry> entries_;
  std::vector<std::vector<Tensor>> homes_;
  SlotLayout layout_;
  Layer pattern_{};
};

}  // namespace linea
