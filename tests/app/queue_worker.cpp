// A process that works on the queue of a library until it is empty: what the tests kill. queue_worker LIBRARY CHECKPOINTS
#include "app/engine/engine.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  linea::EngineOptions options;
  options.library = argv[1];
  options.checkpoint_folder = argv[2];
  options.checkpoint_seconds = 0.02;
  linea::Engine engine(options);
  engine.wait_idle();
  return 0;
}
