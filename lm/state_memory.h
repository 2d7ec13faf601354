// lm/state_memory.h: memory for the values of states. Private to lm/.
//
// On the host, memory that the system has to find and clear first costs several times as much as the copy of a state that goes into it. So
// what one state gives back waits for the next of the same size, as long as any of that size lives; and of large states a block is made
// ready beside the program's other work. At most two blocks of a size wait.
#pragma once

#include "core/tensor.h"

namespace linea {

// [floats] f32, its values undefined. `more_will_follow`: others of this size will soon be asked for.
Tensor state_block(int64_t floats, Device device, bool more_will_follow);

}  // namespace linea
