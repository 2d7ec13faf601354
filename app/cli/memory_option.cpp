#include "app/cli/memory_option.h"

#include <array>
#include <charconv>

#include "app/engine/memory_budget.h"
#include "core/error.h"

namespace linea::cli {

void add_vram_option(CLI::App& command, std::string& value) {
  command
      .add_option("--vram,--memory", value,
                  "most of the device's memory to use, such as 8GiB, 6GB or 75% of what is free; 0 = what is free")
      ->type_name("BYTES");
}

int64_t parse_bytes(const std::string& option, const std::string& text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                            {"B", 1},
                                            {"kB", 1e3},
                                            {"KiB", 0x1p10},
                                            {"MB", 1e6},
                                            {"MiB", 0x1p20},
                                            {"GB", 1e9},
                                            {"GiB", 0x1p30},
                                            {"TB", 1e12},
                                            {"TiB", 0x1p40}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(error == std::errc() ? end : text.data(), text.data() + text.size());
  for (const Unit& known : kUnits) {
    const double bytes = number * known.bytes;
    if (error == std::errc() && unit == known.name && bytes >= 0 && bytes < 0x1p62) return static_cast<int64_t>(bytes);
  }
  throw Error(ErrorKind::kUsage, option + ": '" + text + "' is not an amount of memory", "for example 8GiB or 500MB");
}

int64_t vram_bytes(const std::string& text, Device device) {
  if (text.ends_with('%')) {
    double percent = 0;
    const char* last = text.data() + text.size() - 1;
    const auto [end, error] = std::from_chars(text.data(), last, percent);
    if (error != std::errc() || end != last || !(percent > 0 && percent <= 100)) {
      throw Error(ErrorKind::kUsage, "--vram: '" + text + "' is not a share of what is free", "for example 75%");
    }
    return static_cast<int64_t>(static_cast<double>(free_memory(device)) * percent / 100);
  }
  const int64_t bytes = parse_bytes("--vram", text);
  return bytes > 0 ? bytes : free_memory(device);
}

}  // namespace linea::cli
