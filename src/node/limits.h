// node/limits.h: every bound of the runtime, with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace quorate::node {

// ---- Proposals.
// One command. Above every front's own limit (etcd: 1.5 MiB by default, 10 MiB at most advised),
// and one append message with a single such entry still fits a peer frame.
inline constexpr size_t kCommandBytesMax = size_t{12} << 20U;
// Proposals of this node's clients without an answer yet. 50 connections with 100 streams each
// use 5000; more than this is a queue that only adds waiting.
inline constexpr size_t kPendingMax = size_t{1} << 16U;
// Their payload: twice what the core takes as uncommitted, so waiting for a leader is cheap too.
inline constexpr size_t kPendingBytesMax = size_t{128} << 20U;
// Decided but not applied: beyond this new writes are refused, so that a slow store is felt by
// its writers and not by memory. The number is etcd's, which operators know.
inline constexpr uint64_t kApplyLagMax = 5000;
// Forwards taken from peers in one turn; the rest is refused as busy.
inline constexpr size_t kForwardsPerTurnMax = size_t{1} << 16U;
// After the leader refused a forward or a read, unless it changed: long enough not to spin,
// short beside an election.
inline constexpr Duration kRetryPause = std::chrono::milliseconds(20);
// Sequence numbers set aside in the identity file for one run: five years at 100k proposals a
// second, and a million restarts fit into what is left of 64 bits.
inline constexpr uint64_t kSequencesPerRun = uint64_t{1} << 44U;

// ---- Reads.
inline constexpr size_t kReadRoundsMax = 2;                   // as the cores have it
inline constexpr size_t kReadsWaitingMax = size_t{1} << 16U;  // one batch is one round: cheap
// A round without an answer is asked again, then after twice as long, and so on: a lost frame
// must not cost the whole deadline.
inline constexpr Duration kReadSilenceMax = std::chrono::milliseconds(500);

// ---- Leases.
// Asks of this node's clients without an answer, and asks of peers that wait for a round: as many
// as reads may wait. One frame of them is about 20 KiB.
inline constexpr size_t kLeaseAsksMax = size_t{1} << 16U;
inline constexpr size_t kLeaseAsksPerFrameMax = 1024;
// How long the leader tries to confirm that it leads before it says that it does not know.
inline constexpr Duration kLeaseConfirmMax = std::chrono::seconds(5);
// Before an ask is repeated that the leader could not answer yet: a revoke is under way.
inline constexpr Duration kLeaseLaterPause = std::chrono::milliseconds(100);
// A hundred thousand leases that end at once must not shake the leader: at most 1000 revokes in
// a second (etcd's rate), and no more under way than the log decides in a moment.
inline constexpr Duration kLeasePortionInterval = std::chrono::milliseconds(100);
inline constexpr size_t kLeaseRevokesPerPortion = 100;
inline constexpr size_t kLeaseRevokesUnderWayMax = 1000;
// Taken over in one turn, or moved behind in the order because they were renewed: a millisecond.
inline constexpr size_t kLeasesTakenPerPortion = 2048;
inline constexpr size_t kLeasesMovedPerPortion = 2048;
// What a failover may add to a long lease, at most, beside the time without a leader.
inline constexpr Duration kLeaseCheckpointInterval = std::chrono::minutes(5);
inline constexpr size_t kLeaseCheckpointsPerPortion = 1000;

// ---- Applying. One turn's share: a few milliseconds, so that heartbeats are never late.
inline constexpr size_t kApplyEntriesPerTurn = 1024;
inline constexpr size_t kApplyBytesPerTurn = size_t{2} << 20U;
// A portion that takes longer is counted as slow: etcd's number.
inline constexpr Duration kSlowApply = std::chrono::milliseconds(100);
// Between two portions of what a machine has left to do while it rests: etcd's pause between
// portions of a compaction. A thousand rows each time make a hundred thousand in a second.
inline constexpr Duration kChoreInterval = std::chrono::milliseconds(10);
// One read of the log during replay.
inline constexpr size_t kReplayBytesPerRead = size_t{4} << 20U;
// Entries read back for a slow peer at once: one append message.
inline constexpr size_t kFetchBytesMax = size_t{1} << 20U;
// Rounds of "take, write, apply, answer" within one turn; a callback that asks again at once
// must not keep the turn from ending.
inline constexpr size_t kDrainPassesMax = 16;

// ---- Giving log space back.
// Payload kept behind the truncation at most, whatever the number of entries.
inline constexpr uint64_t kCatchUpBytesMax = uint64_t{128} << 20U;
// Payload applied between truncations at most: large values must not fill the disk first.
inline constexpr uint64_t kLogBytesMax = uint64_t{256} << 20U;

// ---- Snapshots.
inline constexpr size_t kSnapshotChunkBytes = size_t{64} << 10U;  // urgent frames wait this long
// Chunks on the way and not yet written by the receiver: bounds its memory, fills a fast link.
inline constexpr size_t kSnapshotChunksInFlight = 32;
inline constexpr size_t kSnapshotFilesMax = 8192;  // a store of some terabytes
inline constexpr size_t kSnapshotNameBytesMax = 255;
// What a member sends of snapshots in a second, unless told otherwise: half of what a common
// gigabit link carries, and a part of what a disk writes, so that log and clients keep theirs.
inline constexpr uint64_t kSnapshotBytesPerSecond = uint64_t{64} << 20U;
// No progress for so long: the transfer is given up, and may begin again.
inline constexpr Duration kSnapshotSilenceMax = std::chrono::seconds(30);
// The log behind a sent snapshot is kept for so long after it arrived, so that the follower
// finds what comes next (else a busy log can outrun every transfer).
inline constexpr Duration kSnapshotPinAfter = std::chrono::seconds(30);
// Must stay free on the disk after a snapshot was received.
inline constexpr uint64_t kSnapshotSpareBytes = uint64_t{64} << 20U;

// ---- Membership.
// Changes of this node's clients that wait for their turn: operators make one, scripts a few.
inline constexpr size_t kChangesWaitingMax = 64;
// Of one member; it has one or two, of under a hundred bytes. Seven members at these bounds still
// fit into an introduction.
inline constexpr size_t kMemberUrlsMax = 16;
inline constexpr size_t kMemberUrlBytesMax = 512;
// The name of a protocol, as members tell it each other.
inline constexpr size_t kProtocolBytesMax = 64;
// What a member tells whoever asks who belongs to the cluster. Seven members need about 1 KiB.
inline constexpr size_t kIntroductionBytesMax = size_t{60} << 10U;
// How often a leader looks whether a new member has caught up: what it then has missed in this
// time it can miss as a voter, too.
inline constexpr Duration kPromotionInterval = std::chrono::milliseconds(100);
// Without a leader for so long, a member asks the others who belongs to the cluster: perhaps it
// was removed, or they live elsewhere now. Longer than most elections after a broken connection.
inline constexpr Duration kLostPatience = std::chrono::milliseconds(300);
inline constexpr Duration kInquiryInterval = std::chrono::seconds(1);

// ---- Founding.
// How long a new member waits for all others before a majority is enough.
inline constexpr Duration kFoundingPatience = std::chrono::seconds(3);

}  // namespace quorate::node
