// base/types.h: the words every room shares: identifiers, log positions, time.
//
// Each identifier is a type of its own, so that a term can never be passed where an index is
// meant. Zero always means "none": no node, group, proposal or write is numbered zero, and the
// log starts at index 1.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace quorate {

template <class Tag>
struct StrongId {
  uint64_t value = 0;
  auto operator<=>(const StrongId&) const = default;
  explicit operator bool() const { return value != 0; }
};

using NodeId = StrongId<struct NodeIdTag>;    // a member of the cluster
using GroupId = StrongId<struct GroupIdTag>;  // one replicated log; many share a node
using ReadId = StrongId<struct ReadIdTag>;    // one read barrier, unique within a node's run

// Position in a replicated log. The first entry is 1; 0 stands before it.
struct Index {
  uint64_t value = 0;
  auto operator<=>(const Index&) const = default;
  explicit operator bool() const { return value != 0; }
  Index& operator++() {
    ++value;
    return *this;
  }
  Index next() const { return Index{value + 1}; }
  Index previous() const { return Index{value == 0 ? 0 : value - 1}; }
};
inline Index operator+(Index index, uint64_t count) { return Index{index.value + count}; }
// Entries between two positions; `later` must not be before `earlier`.
inline uint64_t operator-(Index later, Index earlier) { return later.value - earlier.value; }

// Number of a durable write of one replica. Only grows while a process runs; 0 is "no write".
struct WriteId {
  uint64_t value = 0;
  auto operator<=>(const WriteId&) const = default;
};

// Names one proposal for ever: the node that took it from a client, and a number that node has
// never used before, restarts included.
struct ProposalId {
  NodeId node;
  uint64_t sequence = 0;
  auto operator<=>(const ProposalId&) const = default;
  explicit operator bool() const { return sequence != 0; }
};

// Time as the cores see it: a monotonic instant handed in by whoever drives them. It has no
// now(): reading a clock is the runtime's privilege (world/executor.h).
struct DrivenClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<DrivenClock>;
  static constexpr bool is_steady = true;
};
using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<DrivenClock>;
inline constexpr Time kNever = Time::max();

}  // namespace quorate
