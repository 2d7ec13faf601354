#include "app/studio/clipboard.h"

#include <utility>

namespace linea::studio::clipboard {
namespace {

std::function<std::string()> getter;
std::function<void(const std::string&)> setter;

}  // namespace

void connect(std::function<std::string()> get, std::function<void(const std::string&)> set) {
  getter = std::move(get);
  setter = std::move(set);
}

std::string get() { return getter ? getter() : std::string(); }

void set(const std::string& text) {
  if (setter) setter(text);
}

}  // namespace linea::studio::clipboard
