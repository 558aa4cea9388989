// machine/etcd/lease_rows.h: the rows that leases lie in, as bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "machine/leases.h"
#include "storage/kv/kv_store.h"

namespace quorate::machine::etcd {

// Lease ids are random: between the rows of the keyspace, which are written in the order of their
// keys, they would make every table span every other (docs/decisions/0009).
inline constexpr std::string_view kLeaseTable = "ml";
inline constexpr std::string_view kLeaseTableEnd = "mm";
static_assert(kLeaseTable[0] == storage::kApartTable);

// In the order of the ids as unsigned numbers.
std::string lease_row_key(int64_t lease);
std::optional<int64_t> decode_lease_row_key(std::string_view key);
std::string encode_lease_row(const LeaseTerm& term);
std::optional<LeaseTerm> decode_lease_row(std::string_view value);

}  // namespace quorate::machine::etcd
