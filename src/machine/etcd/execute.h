// machine/etcd/execute.h: what each etcd request does to the store and what it answers.
//
// Bodies are response messages in wire form. Of a request on its own the header is left to the
// front; nested in a transaction it is written here and carries the revision only, as etcd has
// it. A null body: nobody waits, so nothing is encoded; the effects are the same.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "machine/etcd/commands.h"
#include "machine/etcd/lease_book.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/messages.h"
#include "storage/mvcc/store.h"

namespace quorate::machine::etcd {

// ok: the revision asked for can be read.
Code code_of(storage::mvcc::Readable readable);

enum class Place : uint8_t { alone, nested };

// What a request that writes may change.
struct Keyspace {
  storage::mvcc::Store& store;
  LeaseBook& leases;
  Index index;  // of the entry that is applied
};

Code execute_range(const storage::mvcc::Store& store, const RangeRequest& request, Place place,
                   std::string* body);
Code execute_range_piece(const storage::mvcc::Store& store, const RangeRequest& request,
                         uint64_t bytes_max, RangePiece& piece);
// These change the store within the transaction that is open; the caller finishes it.
Code execute_put(Keyspace& keyspace, const PutRequest& request, Place place, std::string* body);
Code execute_delete_range(Keyspace& keyspace, const DeleteRangeRequest& request, Place place,
                          std::string* body);

// These are transactions of their own.
Code execute_lease_grant(Keyspace& keyspace, const LeaseGrantRequest& request, std::string* body);
Code execute_lease_revoke(Keyspace& keyspace, const LeaseRevokeRequest& request);
Code execute_lease_checkpoint(Keyspace& keyspace, const LeaseCheckpointRequest& request);
void list_leases(const LeaseBook& leases, std::string& body);
void list_lease_keys(const LeaseBook& leases, int64_t lease, std::string& body);

// A transaction in three steps: all comparisons, nested ones too, on the state before it; all
// checks that may refuse it; then the operations, which cannot fail any more. So it is done
// whole or not at all.
class Transaction {
 public:
  // `writable` holds the same store; null for one that only reads.
  Transaction(const storage::mvcc::Store& store, Keyspace* writable)
      : store_(store), writable_(writable) {}
  Code execute(const TxnRequest& request, std::string* body);

 private:
  bool holds(const Compare& compare) const;
  void choose(const TxnRequest& request);
  // What may be wrong with a write comes before what may be wrong with a range, wherever they
  // stand: that is the order in which etcd looks, and a client sees the first complaint.
  enum class Look : uint8_t { writes, ranges };
  Code check(const TxnRequest& request, Look look);
  Code check_range(const RangeRequest& range) const;
  Code check_write(const RequestOp& operation);
  void run(const TxnRequest& request, Place place, std::string* body);
  void run_operation(const RequestOp& operation, std::string* body);

  const storage::mvcc::Store& store_;
  Keyspace* const writable_;
  std::vector<bool> branches_;  // taken, in the order of the transactions on the taken path
  size_t next_branch_ = 0;
  // While writes are checked: every key from here on is deleted by what comes before.
  std::optional<std::string_view> deleted_from_;
};

}  // namespace quorate::machine::etcd
