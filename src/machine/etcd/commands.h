// machine/etcd/commands.h: what the etcd front puts into the log, and what it may query.
//
// A command is one envelope byte sequence: format, kind, who asks (while auth is on), then the
// client's request in protobuf wire form exactly as it came, so a put is never re-encoded on its
// way from the socket to the store. A query is a kind byte and the request, answered from local
// state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "machine/state_machine.h"
#include "storage/kv/kv_store.h"
#include "storage/mvcc/recent_changes.h"
#include "storage/mvcc/totals.h"

namespace quorate::machine::etcd {

enum class CommandKind : uint8_t {
  put = 1,
  delete_range = 2,
  txn = 3,
  compact = 4,
  member_attributes = 5,  // a member's name and client URLs, published when it starts
  lease_grant = 6,        // id and TTL chosen by whoever proposes it
  lease_revoke = 7,       // also proposed by the leader when one has run out
  lease_checkpoint = 8,   // by the leader: how much of long leases is left
  alarm = 9,              // raised, cleared or asked for: alarms.h
  auth = 32               // users, roles, tokens: auth_messages.h
};
enum class QueryKind : uint8_t {
  range = 1,
  txn = 2,  // reads only
  member_attributes = 3,
  leases = 4,      // the body of a LeaseLeasesResponse
  lease_keys = 5,  // field 5 of a LeaseTimeToLiveResponse; the rest only the leader knows
  hash = 6,        // a step of a hash over the keyspace or over everything: hash_step.h
  alarms = 7       // the body of an AlarmResponse
};

// Reply::code. The front owns the texts and gRPC codes.
enum class Code : uint16_t {
  ok = 0,
  compacted = 1,        // the revision asked for is gone
  future_revision = 2,  // not reached yet
  key_not_found = 3,    // ignore_value / ignore_lease on an absent key
  lease_not_found = 4,
  malformed = 5,  // not a command of this machine; cannot come from a checked front
  no_space = 6,
  lease_exists = 7,
  lease_too_long = 8,  // more than can be counted
  corrupt = 9,         // an alarm says that members differ: nothing is written any more
  // Of auth_book.h.
  user_empty = 32,  // no name; of a caller: nobody
  role_empty = 33,
  user_exists = 34,
  user_not_found = 35,
  role_exists = 36,
  role_not_found = 37,
  role_not_granted = 38,
  permission_not_granted = 39,
  permission_not_given = 40,
  invalid_auth_management = 41,
  root_user_missing = 42,
  root_role_missing = 43,
  auth_not_enabled = 44,
  auth_failed = 45,
  auth_old_revision = 46,
  permission_denied = 47
};

// Who asks for a command, as the one who proposes it found out. It matters only while auth is on
// where the command is applied.
struct Caller {
  std::string_view user;       // empty: nobody
  uint64_t auth_revision = 0;  // of the auth store when that was found out
  bool system = false;         // the server itself: may everything
};

// The front passes the bytes after its own checks (limits, empty keys, duplicate keys).
Bytes make_command(CommandKind kind, std::string_view request);
Bytes make_command(CommandKind kind, std::string_view request, const Caller& caller);
Bytes make_query(QueryKind kind, std::string_view request);

struct MemberAttributes {
  uint64_t id = 0;
  std::string name;
  std::vector<std::string> client_urls;
};
std::string encode_member_attributes(const MemberAttributes& attributes);
// Body of a QueryKind::member_attributes reply.
std::vector<MemberAttributes> decode_member_attributes_list(std::string_view body);

// Reply bodies are the etcd response message without its header field (1): put = PutResponse
// and so on. The front writes the header in front of it; protobuf allows fields in any order.
// Headers nested in a TxnResponse carry the revision only and are part of the body.

struct Revisions {
  int64_t current = 1;    // of an empty store; the first write makes 2
  int64_t compacted = 0;  // reads below it are refused
};

// The state as a sequence of changes (docs/decisions/0016). Records are mvccpb.KeyValue; that of a
// removal holds the key alone.
using storage::mvcc::Change;
using storage::mvcc::ChangeVisitor;

struct RangeRequest;
// A part of a range, in the order of keys.
struct RangePiece {
  std::string records;   // those of a RangeResponse, in wire form
  std::string last_key;  // empty: there are none
  int64_t count = 0;
  bool finished = false;  // the limit is reached, or the end
  int64_t beyond = 0;     // keys that the range has behind these; of the last piece only
};

class Backup;
struct BackupMember;
class AuthBook;
class LeaseBook;

// What was applied since the machine was opened.
struct Activity {
  storage::mvcc::Totals store;
  uint64_t transactions = 0;
  uint64_t leases_granted = 0;
  uint64_t leases_revoked = 0;
};

class EtcdMachine : public StateMachine {
 public:
  // Null: a machine without (tests).
  virtual const AuthBook* auth() const { return nullptr; }
  virtual const LeaseBook* lease_book() const { return nullptr; }
  virtual Revisions revisions() const = 0;
  virtual uint64_t key_count() const = 0;
  virtual uint64_t lease_count() const = 0;
  virtual Activity activity() const { return {}; }
  virtual void check_invariants() const = 0;  // slow, for tests
  // Every change from revision `first` on, oldest first, while the visitor says so. Complete from
  // changes_complete_from() on. Never from within apply.
  virtual void changes(int64_t first, const ChangeVisitor& visit) const = 0;
  virtual int64_t changes_complete_from() const = 0;
  // What is committed now, as etcd's database file (backup.h).
  virtual std::unique_ptr<Backup> backup(std::vector<BackupMember> members) const = 0;
  // This range will be asked for a few queries from now: time to ask for the memory of its key.
  virtual void expect_range(std::string_view /*request*/) const {}
  // The first records of a range, until they are of about `bytes_max`. The request has no order
  // and no filters; its revision is readable, or the code says why not.
  virtual Code range_piece(const RangeRequest& request, uint64_t bytes_max,
                           RangePiece& piece) const = 0;
  // The record of a key as of a revision; nullopt: it was not there, or that is compacted. The
  // view is valid until `scratch` is used or the machine applies.
  virtual std::optional<std::string_view> record_at(std::string_view key, int64_t revision,
                                                    std::string& scratch) const = 0;
};

// Of the newest values, how many bytes are held in memory; the rest is read from the store.
inline constexpr uint64_t kValuesInMemoryMax = uint64_t{1} << 30U;

// Loads what the store holds. An error: the store is damaged or of a newer format.
Result<std::unique_ptr<EtcdMachine>> open_etcd_machine(
    std::unique_ptr<storage::KvStore> store, uint64_t values_in_memory_max = kValuesInMemoryMax);

}  // namespace quorate::machine::etcd
