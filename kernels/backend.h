// kernels/backend.h: what a device implements. Arguments were checked by ops.cpp; meanings stand in ops.h.
//
// While planning, ops.cpp calls only the ops marked `scratch`: these take temporary memory from ctx.arena (inside a Scope, so that it
// counts in the plan) and return before they touch data when ctx.planning().
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "core/error.h"
#include "kernels/ops.h"

namespace linea {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;
  // The fastest type of activations and weights that keeps quality: what a caller gets who names none.
  virtual DType preferred_dtype() const = 0;
  // A point in the order of submitted work, for measuring; several may wait for their times at once.
  class TimeMark {
   public:
    virtual ~TimeMark() = default;
    virtual double seconds_until(const TimeMark& later) const = 0;  // of a later mark of the same backend; waits for it
  };
  virtual std::unique_ptr<TimeMark> mark_time();  // by default the host's clock, right where ops have ended when they return
  virtual void synchronize() = 0;                 // returns when all submitted work is done; throws kDevice for failures of that work

  // Whether `linear` takes weights, and embedding_lookup tables, in the block-quantised types of core/quantized.h; otherwise they are
  // dequantised when a model loads.
  virtual bool multiplies_quantized() const { return false; }
  virtual bool looks_up_quantized() const { return multiplies_quantized(); }
  // Whether `linear` takes weights of 16 bits for activations in f32.
  virtual bool multiplies_narrow() const { return false; }

  // Whether prepare_fp8_linear makes anything: w [out, in] of a 16-bit type as e4m3 with a scale for each row, or nothing for a matrix that
  // is better left as it is. `linear` scales the rows of x likewise.
  virtual bool multiplies_fp8() const { return false; }
  virtual Weight prepare_fp8_linear(const Tensor& /*w*/) { return {}; }

  // Submitted work, recorded to be submitted again as one.
  class CapturedWork {
   public:
    virtual ~CapturedWork() = default;
    virtual void submit() = 0;
  };
  // Calls `work`, records what it submits and does none of it; null, without a call, where the device has no such thing. The work must have
  // run once before, and must neither wait nor read or write host memory: see kernels/replay.h, which takes care of that.
  virtual std::unique_ptr<CapturedWork> capture(const std::function<void()>& /*work*/) { return nullptr; }

  // Calls `work`, a long sequence of ops that may each be short: the CPU keeps its threads awake between them, a GPU may do many in one
  // kernel. What they give can be read afterwards, not in between, and weights that they name must stay until then.
  virtual void run_sequence(const std::function<void()>& work) { work(); }

  virtual Weight prepare_linear(const Tensor& w) = 0;
  // The same for a matrix that many products with many rows will read: where `packs` its type, a copy in an order that they read faster,
  // instead of w, of whose mapped file no pages stay in memory.
  virtual bool packs(DType /*type*/) const { return false; }
  virtual Weight prepare_packed_linear(const Tensor& w) { return prepare_linear(w); }
  virtual Weight prepare_conv2d(const Tensor& w) = 0;
  // What an enlarging conv2d may make of its weight at the first call and keep: four 2×2 filters in place of a 3×3 one, by default of the
  // weight's type.
  virtual int64_t folded_bytes(const Weight& w) const { return w.shape.elements() / 9 * 16 * bytes_of(w.data.dtype()); }
  // The same of a conv2d of stride 1 that does not enlarge.
  virtual int64_t transformed_bytes(const Weight& /*w*/) const { return 0; }
  // Whether a library keeps filters of the type in a form of its own, beside the backend's memory.
  virtual bool library_keeps_filters(DType /*type*/) const { return false; }

  // scratch
  virtual void linear(Context&, const Tensor& x, const Weight& w, const Tensor& y, const LinearArgs&) = 0;
  virtual void grouped_linear(Context&, const Tensor& x, const Tensor& w, const Tensor& y) = 0;
  // scratch
  virtual void conv2d(Context&, const Tensor& x, const Weight& w, const Tensor& y, const Conv2dArgs&) = 0;
  virtual void depthwise_conv2d(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const DepthwiseArgs&) = 0;
  // scratch. A device that gains nothing by doing both at once, and makes no e4m3 rows, keeps this.
  virtual void expand_depthwise(Context& ctx, const Tensor& x, const Weight& w, const Tensor& filters, const ProductRows& y,
                                const ExpandArgs& args) {
    LINEA_ASSERT(!y.scales.defined());
    const Arena::Scope scope(*ctx.arena);
    const Tensor wide = ctx.allocate({x.dim(0), x.dim(1), x.dim(2), w.shape[0]});
    linea::linear(ctx, x, w, wide, {.bias = args.bias, .activation = args.activation, .x_scales = args.x_scales});
    linea::depthwise_conv2d(ctx, wide, filters, y.values, args.depthwise);
  }
  virtual void modulated_layer_norm(Context&, const Tensor& x, const Tensor& scale, const Tensor& shift, const ProductRows& y,
                                    float eps) = 0;
  virtual void rms_norm(Context&, const Tensor& x, const Tensor& w, const Tensor& y, const RmsNormArgs&) = 0;
  // scratch
  virtual void relu_linear_attention(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y, float eps) = 0;
  // scratch
  virtual void softmax_attention(Context&, const Tensor& q, const Tensor& k, const Tensor& v, const ProductRows& y,
                                 const AttentionArgs&) = 0;
  // Where products take e4m3 rows.
  virtual void value_bounds(Context&, const Tensor& /*v*/, std::span<const int64_t> /*key_offsets*/, const Tensor& /*bounds*/) {
    missing("value_bounds");
  }
  virtual void rotary_embedding(Context&, const Tensor& x, int64_t first_position, float theta) = 0;
  virtual void embedding_lookup(Context&, const Tensor& table, std::span<const int32_t> ids, const Tensor& y, float scale) = 0;
  virtual void activate(Context&, const Tensor& x, const Tensor& y, Activation) = 0;
  virtual void multiply_activated(Context&, const Tensor& gate, const Tensor& up, const Tensor& y, Activation) = 0;
  virtual void add(Context&, const Tensor& a, const Tensor& b, const Tensor& y) = 0;
  virtual void add_rows(Context&, const Tensor& x, const Tensor& rows, const Tensor& y) = 0;
  virtual void cast(Context&, const Tensor& x, const Tensor& y) = 0;
  virtual void linear_combination(Context&, std::span<const Term> terms, const Tensor& y) = 0;
  virtual void pixel_shuffle(Context&, const Tensor& x, const Tensor& y) = 0;
  virtual void pixel_unshuffle(Context&, const Tensor& x, const Tensor& y) = 0;
  virtual void add_downsample_shortcut(Context&, const Tensor& x, const Tensor& y) = 0;
  virtual void add_upsample_shortcut(Context&, const Tensor& x, const Tensor& y) = 0;
  virtual void add_channel_mean(Context&, const Tensor& x, const Tensor& y) = 0;
  virtual void add_channel_repeat(Context&, const Tensor& x, const Tensor& y) = 0;

  // Whether the ops of recurrent models take states of several sequences; otherwise ops.cpp calls them for one at a time.
  virtual bool takes_sequences() const { return false; }
  // A device may lack the ops of recurrent models.
  virtual void linear_recurrence(Context&, const Tensor& /*q*/, const Tensor& /*k*/, const Tensor& /*v*/, const RecurrenceArgs&,
                                 const Tensor& /*state*/, const Tensor& /*y*/) {
    missing("linear_recurrence");
  }
  virtual void selective_scan(Context&, const Tensor& /*x*/, const SelectiveScanArgs&, const Tensor& /*state*/, const Tensor& /*y*/) {
    missing("selective_scan");
  }
  virtual void weighted_average(Context&, const Tensor& /*k*/, const Tensor& /*v*/, const Tensor& /*log_decay*/, const Tensor& /*u*/,
                                const Tensor& /*state*/, const Tensor& /*y*/) {
    missing("weighted_average");
  }
  virtual void causal_conv1d(Context&, const Tensor& /*x*/, const Tensor& /*w*/, const Tensor& /*bias*/, const Tensor& /*state*/,
                             const Tensor& /*y*/, Activation) {
    missing("causal_conv1d");
  }
  virtual void token_shift(Context&, const Tensor& /*x*/, const Tensor& /*state*/, const Tensor& /*y*/) { missing("token_shift"); }
  virtual void lerp(Context&, const Tensor& /*a*/, const Tensor& /*b*/, const Tensor& /*m*/, const Tensor& /*y*/) { missing("lerp"); }
  virtual void elementwise(Context&, const Tensor& /*x*/, const Tensor& /*y*/, const ElementwiseArgs&) { missing("elementwise"); }
  virtual void group_norm(Context&, const Tensor& /*x*/, const Tensor& /*w*/, const Tensor& /*y*/, const GroupNormArgs&) {
    missing("group_norm");
  }
  virtual void normalize_heads(Context&, const Tensor& /*x*/, const Tensor& /*w*/, const Tensor& /*y*/, int64_t /*heads*/, float /*eps*/) {
    missing("normalize_heads");
  }
  virtual void add_bonus(Context&, const Tensor& /*q*/, const Tensor& /*k*/, const Tensor& /*v*/, const Tensor& /*u*/,
                         const Tensor& /*y*/) {
    missing("add_bonus");
  }

  // scratch. What follows is made of the ops above, where a device gains nothing by doing it at once.
  virtual void project(Context&, std::span<const Projection> projections);
  // scratch
  virtual void mix_with_previous(Context&, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& state,
                                 std::span<const Mix> mixes);
  // scratch
  virtual void rwkv7_inputs(Context&, const Rwkv7Inputs& in);
  virtual void rwkv7_outputs(Context&, const Rwkv7Outputs& args, const Tensor& y);
  // scratch
  virtual void rwkv7_heads(Context& ctx, const Rwkv7Inputs& in, const Tensor& state, const Rwkv7Outputs& out, const Tensor& y);
  // scratch
  virtual void mamba2_heads(Context& ctx, const Mamba2Heads& in, const Tensor& state, const Tensor& y);

 private:
  [[noreturn]] void missing(const char* op) const {
    throw Error(ErrorKind::kDevice, std::string(op) + " is not implemented on " + device().name() + " yet", "choose --device cpu");
  }
};

// The backend of a device; created on first use and shared. Throws kDevice when the device does not exist or was not compiled in.
Backend& backend_of(Device device);

}  // namespace linea
