#include "explore/packet.h"

namespace quorate::explore {

void fingerprint(consensus::Protocol protocol, const Packet& packet, consensus::Fingerprint& into) {
  into.add(static_cast<uint64_t>(packet.kind));
  if (packet.kind == PacketKind::message) {
    return consensus::fingerprint(protocol, packet.message, WriteId{}, into);
  }
  into.add(packet.from);
  into.add(packet.to);
  into.add(packet.meta);
  into.add(packet.chain);
}

std::string describe(consensus::Protocol protocol, const Packet& packet) {
  const std::string place =
      std::to_string(packet.meta.index.value) + "/" + std::to_string(packet.meta.ballot.round);
  switch (packet.kind) {
    case PacketKind::message:
      return consensus::describe(protocol, packet.message);
    case PacketKind::snapshot:
      return "snapshot up to " + place;
    case PacketKind::arrival:
      return "snapshot up to " + place + " has arrived";
  }
  return {};
}

}  // namespace quorate::explore
