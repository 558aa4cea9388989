// explore/packet.h: what is on its way between two nodes: a message of the protocol, a snapshot,
// or the word that a snapshot has arrived.
#pragma once

#include <string>

#include "consensus/factory.h"
#include "consensus/fingerprint.h"

namespace quorate::explore {

enum class PacketKind : uint8_t { message, snapshot, arrival };

struct Packet {
  PacketKind kind = PacketKind::message;
  NodeId from;
  NodeId to;
  consensus::Message message;
  consensus::SnapshotMeta meta;  // of a snapshot or its arrival
  uint64_t chain = 0;            // of a snapshot (explore/log_image.h)
};

void fingerprint(consensus::Protocol protocol, const Packet& packet, consensus::Fingerprint& into);
std::string describe(consensus::Protocol protocol, const Packet& packet);

}  // namespace quorate::explore
