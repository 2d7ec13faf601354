#include "lm/template/chat_template.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace linea;
  return fuzz::run([&] {
    const ChatTemplate t = ChatTemplate::jinja({reinterpret_cast<const char*>(data), size}, "input", "<s>", "</s>");
    t.render({{Role::kSystem, "s"}, {Role::kUser, "u <&> \n é"}, {Role::kAssistant, "a"}, {Role::kUser, ""}}, true);
  });
}
