// front/grpc/offer.h: what is served on an address. Flags of etcd's keep calls, pages and probes
// apart, so that each can have its own address, behind its own firewall.
#pragma once

#include <cstdint>

namespace quorate::front::grpc {

enum class Offer : uint8_t {
  all,
  calls,  // gRPC
  pages,  // HTTP: pages and JSON
  probes  // HTTP: health and metrics
};

inline bool offers_calls(Offer offer) { return offer == Offer::all || offer == Offer::calls; }
inline bool offers_json(Offer offer) { return offer == Offer::all || offer == Offer::pages; }

}  // namespace quorate::front::grpc
