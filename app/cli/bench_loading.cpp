#include "app/cli/bench_loading.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "app/cli/bench_times.h"
#include "app/engine/model_folders.h"
#include "core/json.h"
#include "core/memory_use.h"
#include "core/threads.h"
#include "kernels/weight_streaming.h"

namespace linea::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLayerBytes = int64_t{160} << 20;  // about a layer of SANA-1.6B or Gemma-2-2B in 16 bits
constexpr size_t kLayers = 12, kPasses = 4;
constexpr int64_t kReadBytes = int64_t{8} << 20;

struct Row {
  std::string name;
  double bytes = 0, seconds = 0;
  double limit = 0;  // bytes a second; 0 = this row is a limit itself
  double rate() const { return bytes / seconds; }
};

// A file that is open for reading.
class OpenFile {
 public:
  explicit OpenFile(const fs::path& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw Error(ErrorKind::kModel, path.string() + ": cannot be read");
    bytes_ = static_cast<int64_t>(fs::file_size(path));
  }
  ~OpenFile() { close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int64_t bytes() const { return bytes_; }
  void leave_cache() const {
    fdatasync(descriptor_);
    posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED);
  }
  // Into memory that every thread has one piece of, as no reader could do with less.
  void read_all() const {
    parallel_for(bytes_, kReadBytes, [&](int64_t begin, int64_t end) {
      std::vector<char> piece(static_cast<size_t>(std::min(kReadBytes, end - begin)));
      for (int64_t at = begin; at < end;) {
        const ssize_t got = pread(descriptor_, piece.data(), std::min(piece.size(), static_cast<size_t>(end - at)), at);
        if (got <= 0) throw Error(ErrorKind::kModel, "a weight file could not be read to its end");
        at += got;
      }
    });
  }

 private:
  int descriptor_;
  int64_t bytes_ = 0;
};

std::vector<fs::path> weight_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  return files;
}

void leave_cache(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) OpenFile(file).leave_cache();
}

Row read_files(const std::string& name, const std::vector<fs::path>& files) {
  Row row{name};
  row.seconds = seconds_of([&] {
    for (const fs::path& path : files) {
      const OpenFile file(path);
      file.read_all();
      row.bytes += static_cast<double>(file.bytes());
    }
  });
  return row;
}

// All weights of a pipeline that has none so far.
Row load_weights(const std::string& name, const fs::path& folder, const PipelineOptions& options, double limit) {
  SanaPipeline pipeline(folder, options);
  const int64_t before = memory_use(options.device).now;
  const double seconds = seconds_of([&] { pipeline.load_weights(); });
  return {name, static_cast<double>(memory_use(options.device).now - before), seconds, limit};
}

// Layers in turn through the two slots, without work between them; and the same bytes in one piece for each layer.
std::vector<Row> stream_layers(Context& ctx) {
  const Device device = ctx.backend->device();
  const WeightStreaming& streaming = weight_streaming_of(device);
  const std::vector<Tensor> layer(8, Tensor({kLayerBytes / 8}, DType::kU8, device));
  const SlotLayout layout = SlotLayout::of(layer);
  std::vector<std::vector<Tensor>> homes;
  for (size_t i = 0; i < kLayers; ++i) homes.push_back(streaming.bring_home(layer));
  const double bytes = static_cast<double>(kLayerBytes) * kLayers * kPasses;

  Row copied{"large copies from pinned memory", bytes};
  {
    const Tensor whole({layout.bytes}, DType::kU8, device);
    const std::unique_ptr<Copier> copier = streaming.open_copier(ctx);
    copied.seconds = seconds_of([&] {
      for (size_t i = 0; i < kLayers * kPasses; ++i) copier->start(0, {{whole.raw(), homes[i % kLayers][0].raw(), layout.bytes}});
      copier->finish(0);
      ctx.backend->synchronize();
    });
  }
  Row streamed{"streamed layers", bytes, 0, copied.rate()};
  {
    Arena arena(device, 2 * layout.bytes + (int64_t{1} << 20));
    Context own = ctx;
    own.arena = &arena;
    SlotRing ring(own, layout, homes, true);
    streamed.seconds = seconds_of([&] {
      for (size_t i = 0; i < kLayers * kPasses; ++i) ring.acquire(i % kLayers);
      ctx.backend->synchronize();
    });
  }
  return {copied, streamed};
}

void print(const std::vector<Row>& rows, bool json) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  if (!json) std::printf("%-44s %9s %10s %10s %7s\n", "", "bytes", "time", "rate", "of limit");
  for (const Row& row : rows) {
    if (json) {
      all.push_back({{"name", row.name}, {"bytes", row.bytes}, {"seconds", row.seconds}, {"bytes_per_second", row.rate()}});
      if (row.limit > 0) all.back()["of_limit"] = row.rate() / row.limit;
      continue;
    }
    std::printf("%-44s %6.2f GB %8.3f s %5.1f GB/s", row.name.c_str(), 1e-9 * row.bytes, row.seconds, 1e-9 * row.rate());
    if (row.limit > 0) std::printf(" %7.2f", row.rate() / row.limit);
    std::printf("\n");
  }
  if (json) std::printf("%s\n", all.dump(2).c_str());
}

}  // namespace

int bench_loading(Context& ctx, const std::string& model, const PipelineOptions& options, bool json) {
  if (options.device.is_cpu()) {
    throw Error(ErrorKind::kUsage,
                "--device: the loading suite is about copies to a GPU; on the CPU weights are used where they are mapped");
  }
  if (is_random_model(model)) throw Error(ErrorKind::kUsage, "--model: the loading suite needs a folder with weights, not " + model);
  const fs::path folder = find_picture_model(model);
  const std::vector<fs::path> files = weight_files(folder);

  std::vector<Row> rows = stream_layers(ctx);
  const double bus = rows[0].rate();
  leave_cache(files);
  rows.push_back(read_files("files read, from the disk", files));
  leave_cache(files);
  rows.push_back(load_weights("weights loaded, from the disk", folder, options, std::min(bus, rows.back().rate())));
  rows.push_back(read_files("files read, from the file cache", files));
  rows.push_back(load_weights("weights loaded, from the file cache", folder, options, std::min(bus, rows.back().rate())));
  print(rows, json);
  return 0;
}

}  // namespace linea::cli
