// consensus/register/limits.h: every bound of the registers, with its reason.
#pragma once

#include <cstddef>

#include "base/types.h"

namespace quorate::consensus::caspaxos {

// Registers are for names of clusters, owners, epochs: small things that must work before and
// without a leader. All of them stay in memory, and each write replaces the file of all: 1.5 MiB
// at most.
inline constexpr size_t kRegistersMax = 256;
inline constexpr size_t kNameBytesMax = 256;
inline constexpr size_t kValueBytesMax = size_t{4} << 10U;
// How far back a change finds itself again after its answer was lost. Beyond, it says that it
// does not know.
inline constexpr size_t kRecentMax = 32;
// Changes of one node's clients that wait or are under way.
inline constexpr size_t kChangesMax = 1024;
// Rounds set aside on disk at a time, so that most ballots need no write before they begin.
inline constexpr uint64_t kRoundsReserved = 1024;
// Without enough answers for so long, a ballot begins anew: a message was lost, or an acceptor is
// away. Many times what a write and a round trip take.
inline constexpr Duration kSilenceMax = std::chrono::milliseconds(300);
// After a refusal: more than a ballot takes, up to what a person does not mind.
inline constexpr Duration kBackOffFirst = std::chrono::milliseconds(10);
inline constexpr Duration kBackOffLongest = std::chrono::milliseconds(640);

}  // namespace quorate::consensus::caspaxos
