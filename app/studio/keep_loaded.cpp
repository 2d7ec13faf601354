// For LeakSanitizer only: graphics drivers stay loaded until the program ends. Once unloaded, what they keep for good would count as lost,
// under addresses that belong to no module.
#include <dlfcn.h>

extern "C" int dlclose(void* /*library*/) noexcept { return 0; }
