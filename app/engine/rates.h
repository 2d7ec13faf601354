// app/engine/rates.h: how fast pictures were made here, for telling how long the next will take. Kept in the cache folder.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace linea {

class Rates {
 public:
  explicit Rates(std::filesystem::path file);  // a file that is absent or of another form counts as empty
  void add(const std::string& key, double flops, double seconds);
  double seconds_for(const std::string& key, double flops) const;  // negative when nothing is known
  void save() const;                                               // failures do not matter

 private:
  std::filesystem::path file_;
  std::map<std::string, double> flops_per_second_;
  bool changed_ = false;
};

}  // namespace linea
