#include "app/engine/rates.h"

#include "core/atomic_file.h"
#include "core/json.h"

namespace linea {

Rates::Rates(std::filesystem::path file) : file_(std::move(file)) {
  std::error_code error;
  if (!std::filesystem::exists(file_, error)) return;
  try {
    read_json_file(file_, 1 << 20, ErrorKind::kBadFile).get_to(flops_per_second_);
  } catch (const std::exception&) {
    flops_per_second_.clear();
  }
}

// The newest measurement counts as much as all before it together: machines change.
void Rates::add(const std::string& key, double flops, double seconds) {
  if (!(flops > 0 && seconds > 0)) return;
  double& rate = flops_per_second_[key];
  rate = rate > 0 ? (rate + flops / seconds) / 2 : flops / seconds;
  changed_ = true;
}

double Rates::seconds_for(const std::string& key, double flops) const {
  const auto found = flops_per_second_.find(key);
  return found == flops_per_second_.end() || !(found->second > 0) ? -1 : flops / found->second;
}

void Rates::save() const {
  if (!changed_) return;
  try {
    write_file(file_, nlohmann::json(flops_per_second_).dump());
  } catch (const Error&) {  // the next run measures anew
    return;
  }
}

}  // namespace linea
