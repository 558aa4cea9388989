// front/grpc/limits.h: every maximum of the server that clients talk to, each with its reason.
//
// A client is hostile until proven otherwise: whatever it can make us keep is bounded here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace quorate::front::grpc {

// One read per wake: long enough to gather a full batch of calls, short enough to stay in cache.
inline constexpr size_t kReadBytesMax = size_t{256} << 10U;
// Bytes handed to one write: they are put together in one buffer of the server, which stays in the
// processor's cache at this size.
inline constexpr size_t kOutputBytesMax = size_t{256} << 10U;
// Answers a client has not taken yet; above it further calls of that connection wait, unrun. As
// much as one write takes: an answer should leave while it is in the processor's cache, and a turn
// in which a hundred large ones are made before the first one leaves would be memory only.
inline constexpr size_t kAnswersBytesMax = kOutputBytesMax;
// The same where the client's socket is on another thread: enough that this one always has some to
// write while more is on the way.
inline constexpr size_t kCrossedAnswersBytesMax = size_t{1} << 20U;
// What a connection whose calls wait writes before others have their turn. About what a socket
// takes at once, so that its client never waits for us.
inline constexpr uint64_t kWrittenPerTurnBytesMax = uint64_t{1} << 20U;
// The same with what streams send; above it they are given nothing more to say.
inline constexpr size_t kUnsentBytesMax = size_t{8} << 20U;
// Partly received messages of one connection together; a stream that goes above it is refused.
inline constexpr size_t kUnfinishedBytesMax = size_t{64} << 20U;
// Flow-control windows: a 1.5 MiB value must not wait for a round trip.
inline constexpr int32_t kStreamWindowBytes = int32_t{4} << 20U;
inline constexpr int32_t kConnectionWindowBytes = int32_t{16} << 20U;
// Bytes of requests on their way from one client's thread to the node's: as many as a turn of the
// node takes in a few milliseconds. Above it that thread waits, and its clients with it.
inline constexpr size_t kCrossingBytesMax = size_t{16} << 20U;
// Handed over before the turn has ended, so that a turn which reads much does not keep it all.
inline constexpr size_t kCrossingBatchBytesMax = size_t{1} << 20U;
// Accepted sockets on their way to a client's thread: above it a client is turned away. More than
// a thread is behind when thousands come at once; with TLS each keeps some 10 KiB while it waits.
inline constexpr size_t kArrivingMax = 4096;
// Threads of clients. Each keeps about a megabyte of buffers; long before that many the node's one
// thread, which runs every call, is the limit.
inline constexpr size_t kClientThreadsMax = 16;
// Go clients put every call and watch of a process on one connection.
inline constexpr uint32_t kStreamsPerConnectionMax = 10000;
// Tokens are the largest headers of this API, a few KiB.
inline constexpr size_t kHeaderListBytesMax = size_t{64} << 10U;
inline constexpr uint32_t kHeaderFieldsMax = 128;
// Fields at the beginning of requests that a connection knows again: what clients send with each
// call are seven or eight. Their bytes are kept for as long as the connection lives.
inline constexpr size_t kKnownFieldsMax = 16;
inline constexpr size_t kKnownFieldBytesMax = 1024;
// Requests that begin otherwise until those are learned instead: one that is alone among many is
// not worth it.
inline constexpr uint32_t kMissesToLearnAgain = 8;
// A header that waits for a large message is 5 bytes; what the message may add is an option.
inline constexpr size_t kMessagePrefixBytes = 5;
// Sockets, well below the usual descriptor limit of a service (65536).
inline constexpr size_t kConnectionsMax = 10000;
// Connections taken in one wake, so that a storm of them does not starve the calls.
inline constexpr int kAcceptsPerWakeMax = 64;
inline constexpr int kListenBacklog = 1024;
// A client that cancels this often attacks (rapid reset); busy watchers stay far below.
inline constexpr uint32_t kResetsPerSecondMax = 2000;
// PING, SETTINGS, PRIORITY and empty DATA frames: they cost us work and the client nothing.
inline constexpr uint32_t kControlFramesPerSecondMax = 2000;
// Acknowledgements that wait for a client which does not read.
inline constexpr size_t kUnsentAcknowledgementsMax = size_t{4} * kControlFramesPerSecondMax;
// A connection must say which protocol it speaks within this time.
inline constexpr Duration kPrefaceDeadline = std::chrono::seconds(10);
// TLS handshakes under way: each keeps some 40 KiB and costs a millisecond or two of the one
// thread. Beyond it the oldest gives way, or, if even that one is young, the newest.
inline constexpr size_t kHandshakesMax = 256;
inline constexpr Duration kHandshakePatience = std::chrono::seconds(1);
inline constexpr Duration kHandshakeDeadline = std::chrono::seconds(5);
// Handshakes taken on in one turn: a storm of clients must not keep heartbeats waiting.
inline constexpr int kHandshakeStepsPerTurnMax = 8;
// Lines a second in the log about clients that were turned away by TLS.
inline constexpr int kComplaintsPerSecondMax = 5;
// An HTTP/1.1 request must be complete, and a kept-alive connection be used again, within these.
inline constexpr Duration kRequestDeadline = std::chrono::seconds(10);
inline constexpr Duration kKeptAliveDeadline = std::chrono::seconds(120);
// Between two looks at connections for passed deadlines.
inline constexpr Duration kSweepInterval = std::chrono::seconds(1);
inline constexpr size_t kRequestHeadBytesMax = size_t{16} << 10U;
// Of a request for a page, whose body nobody reads: some clients send an empty JSON object along.
inline constexpr size_t kIgnoredBodyBytesMax = size_t{16} << 10U;
// A posted JSON body: base64 makes bytes a third longer, names and white space take the rest.
inline constexpr size_t kPostedBytesPerMessageByte = 2;
// A size in hexadecimal, and extensions that nobody sends.
inline constexpr size_t kChunkLineBytesMax = 256;
// Buffers of a finished call are kept for the next one unless they grew beyond this.
inline constexpr size_t kKeptBufferBytesMax = size_t{16} << 10U;
// A body from this size on is shared with its owner; copying a smaller one twice, into its call's
// output and into the connection's, costs no more than to count references.
inline constexpr size_t kSharedBodyBytesMin = size_t{1} << 10U;
// Bodies that have left a queue and still have a place in it; beyond it the places are given back.
inline constexpr size_t kGonePartsMax = 256;
// Runs of bytes that one sendmsg takes: full output of the smallest shared bodies, each with a
// head.
inline constexpr size_t kRunsPerWriteMax = 2 * kOutputBytesMax / kSharedBodyBytesMin;
// The largest DATA frame, where the client takes larger ones than 16 KiB: nine bytes no longer
// count then, and the library keeps a buffer of this size for each connection.
inline constexpr size_t kFrameBytesMax = size_t{64} << 10U;
// The longest text of a status: it travels in a header.
inline constexpr size_t kStatusTextBytesMax = 1024;

}  // namespace quorate::front::grpc
