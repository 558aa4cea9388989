// explore/synod/duel.h: a schedule under which two proposers never decide, found by search.
//
// Fischer, Lynch and Paterson (1985) prove that every protocol which never disagrees has such a
// schedule, even if nobody fails and every message arrives. This looks for one of Paxos with both
// proposers trying again at once: it delays requests, keeps each channel's order, loses nothing,
// and comes back to where it was with all ballots some rounds higher and every message that was
// under way delivered. From there it can go round for ever.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quorate::explore::synod {

struct Duel {
  std::vector<std::string> before;  // the way into the circle
  std::vector<std::string> circle;  // one round; the last step leads to where the first began
  uint64_t rounds_higher = 0;       // after one circle
  uint64_t states = 0;              // looked at until it was found
  // Played again with the cores, which know nothing of circles:
  uint64_t circles_played = 0;
  uint64_t ballots_played = 0;
  bool found() const { return !circle.empty(); }
};

// `circles`: how often the circle is played again, to see that it closes each time.
Duel find_endless_duel(uint64_t circles);

}  // namespace quorate::explore::synod
