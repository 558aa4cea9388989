// machine/etcd/lease_messages.h: the messages of the etcd Lease service, as messages.h has those
// of KV: plain structs, decoded from hostile bytes, unknown fields skipped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine/etcd/messages.h"

namespace quorate::machine::etcd {

// etcd's own maximum: about 285 years, which nanoseconds in 64 bits can still count.
inline constexpr int64_t kLeaseSecondsMax = 9'000'000'000;

struct LeaseGrantRequest {
  int64_t ttl = 0;  // 1; seconds
  int64_t id = 0;   // 2; 0: the server chooses, before the log
};
struct LeaseRevokeRequest {
  int64_t id = 0;     // 1
  uint64_t life = 0;  // 1001, ours: only if it is that life of the lease; 0: any
};
struct LeaseCheckpoint {
  int64_t id = 0;             // 1
  int64_t remaining_ttl = 0;  // 2; seconds
  uint64_t life = 0;          // 1001, as above
};
struct LeaseCheckpointRequest {
  std::vector<LeaseCheckpoint> checkpoints;  // 1
};
struct LeaseKeepAliveRequest {
  int64_t id = 0;  // 1
};
struct LeaseTimeToLiveRequest {
  int64_t id = 0;     // 1
  bool keys = false;  // 2
};

std::optional<LeaseGrantRequest> decode_lease_grant_request(std::string_view wire);
std::optional<LeaseRevokeRequest> decode_lease_revoke_request(std::string_view wire);
std::optional<LeaseCheckpointRequest> decode_lease_checkpoint_request(std::string_view wire);
std::optional<LeaseKeepAliveRequest> decode_lease_keep_alive_request(std::string_view wire);
std::optional<LeaseTimeToLiveRequest> decode_lease_time_to_live_request(std::string_view wire);
void encode(const LeaseGrantRequest& request, std::string& out);
void encode(const LeaseRevokeRequest& request, std::string& out);
void encode(const LeaseCheckpointRequest& request, std::string& out);
void encode(const LeaseKeepAliveRequest& request, std::string& out);
void encode(const LeaseTimeToLiveRequest& request, std::string& out);

// As a client decodes them. The server writes wire bytes directly.
struct LeaseGrantResponse {
  ResponseHeader header;   // 1
  int64_t id = 0;          // 2
  int64_t ttl = 0;         // 3
  std::string_view error;  // 4
};
struct LeaseRevokeResponse {
  ResponseHeader header;  // 1
};
struct LeaseKeepAliveResponse {
  ResponseHeader header;  // 1
  int64_t id = 0;         // 2
  int64_t ttl = 0;        // 3; 0: there is no such lease
};
struct LeaseTimeToLiveResponse {
  ResponseHeader header;               // 1
  int64_t id = 0;                      // 2
  int64_t ttl = 0;                     // 3; -1: there is no such lease
  int64_t granted_ttl = 0;             // 4
  std::vector<std::string_view> keys;  // 5
};
struct LeaseLeasesResponse {
  ResponseHeader header;        // 1
  std::vector<int64_t> leases;  // 2, each a message with the id in field 1
};
std::optional<LeaseGrantResponse> decode_lease_grant_response(std::string_view wire);
std::optional<LeaseRevokeResponse> decode_lease_revoke_response(std::string_view wire);
std::optional<LeaseKeepAliveResponse> decode_lease_keep_alive_response(std::string_view wire);
std::optional<LeaseTimeToLiveResponse> decode_lease_time_to_live_response(std::string_view wire);
std::optional<LeaseLeasesResponse> decode_lease_leases_response(std::string_view wire);

}  // namespace quorate::machine::etcd
