// app/studio/clipboard.h: the system's clipboard, once the window has said how to reach it. Main thread.
#pragma once

#include <functional>
#include <string>

namespace linea::studio::clipboard {

void connect(std::function<std::string()> get, std::function<void(const std::string&)> set);
std::string get();
void set(const std::string& text);

}  // namespace linea::studio::clipboard
