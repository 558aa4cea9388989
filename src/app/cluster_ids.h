// app/cluster_ids.h: etcd's rules for the ids of members and clusters.
//
// Every founder computes them from the same flags, so they agree without talking: a member is
// the SHA-1 of its sorted peer URLs and the cluster token, the cluster that of its member ids. Who
// is added later has the time in place of the token, so that no id comes twice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::app {

uint64_t founding_member_id(std::vector<std::string> peer_urls, std::string_view token);
uint64_t added_member_id(std::vector<std::string> peer_urls, int64_t unix_nanoseconds);
uint64_t founding_cluster_id(std::vector<uint64_t> member_ids);

}  // namespace quorate::app
