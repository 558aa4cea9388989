// load/limits.h: every maximum of the load tool's connections, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace quorate::load {

// Sockets; each takes two buffers here and more at the server.
inline constexpr uint32_t kConnectionsMax = 20'000;
// One read per wake: gathers the answers of a full batch.
inline constexpr size_t kReadBytesMax = size_t{256} << 10U;
// Bytes gathered for one write; beyond it the socket's buffer is full anyhow.
inline constexpr size_t kWriteBytesMax = size_t{1} << 20U;
// A message of an answer that is looked into. The largest honest ones are ranges and bursts of
// events; a peer that announces more is broken.
inline constexpr size_t kMessageBytesMax = size_t{256} << 20U;
// Flow-control windows: this tool reads as fast as it can, so the server should never wait.
inline constexpr int32_t kStreamWindowBytes = int32_t{16} << 20U;
inline constexpr int32_t kConnectionWindowBytes = int32_t{64} << 20U;
// The largest frame that a server may send: with etcd's servers it stays at 16 KiB.
inline constexpr uint32_t kFrameBytesMax = uint32_t{64} << 10U;
// Ready descriptors taken from one wait.
inline constexpr int kReadyMax = 256;
// A lost connection is tried again this much later: soon, but no storm.
inline constexpr Duration kReconnectAfter = std::chrono::milliseconds(100);
inline constexpr size_t kMessagePrefixBytes = 5;

}  // namespace quorate::load
