// node/lease_ask.h: what is asked about a lease, and what the leader answers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace quorate::node {

enum class LeaseWish : uint8_t {
  renew = 0,  // its time begins anew
  look = 1    // how much is left
};

struct LeaseLife {
  bool found = false;  // else there is no such lease
  int64_t granted_seconds = 0;
  int64_t left_seconds = 0;  // whole seconds, rounded down
};

// Asks of one turn travel together. The ids are the asker's.
struct LeaseAsk {
  struct One {
    uint64_t id = 0;
    int64_t lease = 0;
    LeaseWish wish = LeaseWish::renew;
  };
  std::vector<One> asks;
};

enum class LeaseState : uint8_t {
  alive = 0,
  gone = 1,
  later = 2,      // it has run out and is being revoked, or something else must be done first
  not_leader = 3  // or not confirmed as one
};
struct LeaseAnswer {
  struct One {
    uint64_t id = 0;
    LeaseState state = LeaseState::not_leader;
    int64_t granted_seconds = 0;
    int64_t left_seconds = 0;
  };
  Index applied;  // on the leader, when it answered
  std::vector<One> answers;
};

}  // namespace quorate::node
