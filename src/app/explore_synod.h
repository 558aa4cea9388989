// app/explore_synod.h: `quorate explore --synod`: one decree of Paxos, all of it.
#pragma once

namespace quorate::app {

// The exploration, the endless duel and what ends it. Returns the exit code.
int run_explore_synod(double minutes, bool json);

}  // namespace quorate::app
