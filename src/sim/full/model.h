// sim/full/model.h: what etcd answers, in the simplest form that can be written down.
//
// Every version of every key is kept for ever, so the answer to a read of any revision can be
// told afterwards. Answers are texts, so that two of them can be compared and shown. It covers
// what the simulated clients ask for, no more, and shares nothing with the machine it judges but
// the decoders of the wire form.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "machine/etcd/commands.h"
#include "machine/etcd/envelope.h"
#include "machine/etcd/messages.h"

namespace quorate::sim::full {

class Model {
 public:
  // Applies one command of the log and tells what its client must hear.
  std::string apply(std::string_view command, Index index);
  // What a query must answer when the store is at `current`. `compacted`: as the reader sees it.
  std::string read(const machine::etcd::RangeRequest& request, int64_t current,
                   int64_t compacted) const;

  int64_t revision() const { return revision_; }
  int64_t compacted() const { return compacted_; }
  struct Lease {
    int64_t seconds = 0;
    uint64_t life = 0;  // the entry that granted it
  };
  // Every change there ever was, in order.
  struct Change {
    int64_t revision = 0;
    bool removed = false;
    std::string key;
    std::string text;
    std::string previous;  // what a watcher may hear of the key before it; empty: nothing
  };
  const std::vector<Change>& changes() const { return changes_; }
  const Lease* lease(int64_t id) const {
    const auto found = leases_.find(id);
    return found == leases_.end() ? nullptr : &found->second;
  }
  // By the last command; 0: none.
  int64_t ended_lease() const { return ended_lease_; }

 private:
  struct Version {
    int64_t create = 0;
    int64_t mod = 0;
    int64_t version = 0;  // 0: deleted
    int64_t lease = 0;
    std::string value;
  };
  using Versions = std::vector<Version>;

  int64_t view() const { return revision_ + (changed_ ? 1 : 0); }
  const Version* newest(std::string_view key) const;
  static const Version* at_revision(const Versions& versions, int64_t revision);
  std::string listing(const machine::etcd::RangeRequest& request, int64_t revision) const;
  std::string put(const machine::etcd::PutRequest& request);
  std::string remove(const machine::etcd::DeleteRangeRequest& request);
  std::string transact(const machine::etcd::TxnRequest& request);
  std::string run(const machine::etcd::RequestOp& operation);
  std::string compact(std::string_view request);
  std::string change_lease(const machine::etcd::OpenedCommand& command, Index index);
  static std::string text_of(std::string_view key, const Version& version);
  bool holds(const machine::etcd::Compare& compare) const;
  bool change(const std::string& key, std::string_view value, bool deleted, int64_t lease = 0);

  std::map<std::string, Versions, std::less<>> keys_;
  std::vector<Change> changes_;
  std::map<int64_t, Lease> leases_;
  std::map<std::string, int64_t> lease_of_key_;  // live keys that are on one
  int64_t revision_ = 1;
  int64_t compacted_ = -1;
  int64_t ended_lease_ = 0;
  bool changed_ = false;
};

// The answer that came, in the model's words.
std::string answer_text(machine::etcd::CommandKind kind, const machine::Reply& reply);
std::string range_text(const machine::Reply& reply);
// An event's record: of a deletion the key and the revision alone.
std::string change_text(bool removed, const machine::etcd::KeyValue& pair);

}  // namespace quorate::sim::full
