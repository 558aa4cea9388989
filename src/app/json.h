// app/json.h: answers as one line of JSON. Keys and values that are not UTF-8 appear under
// "key_base64" and "value_base64" instead, so nothing is lost and nothing is guessed.
#pragma once

#include <string>
#include <vector>

#include "app/messages.h"
#include "machine/etcd/messages.h"

namespace quorate::app {

std::string range_json(const machine::etcd::RangeResponse& response);
std::string put_json(const machine::etcd::PutResponse& response);
std::string delete_json(const machine::etcd::DeleteRangeResponse& response);
std::string txn_json(const machine::etcd::TxnResponse& response);

struct EndpointStatus {
  std::string endpoint;
  std::string problem;  // empty: `status` is valid
  MemberStatus status;
};
std::string status_json(const std::vector<EndpointStatus>& list);
std::string members_json(const std::vector<MemberEntry>& members);
std::string member_added_json(const AddedMember& added, const std::string& initial_cluster);
std::string leader_moved_json(uint64_t from, uint64_t to);

}  // namespace quorate::app
