// check/versioned_store.h: the store as a correct one would be: every version of every key, by
// revision, with the leases that keys hang on. Changes are made at a revision and can be undone in
// the order of revisions, so that a checker can try who made one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "check/history.h"
#include "check/key_table.h"

namespace quorate::check {

struct Version {
  int64_t mod = 0;
  int64_t create = 0;
  int64_t version = 0;  // 0: a deletion
  int64_t lease = 0;
  TextId value = 0;
  bool erased() const { return version == 0; }
};

class VersionedStore {
 public:
  VersionedStore(const History& history, const KeyTable& keys);

  // What the key is now, or was right after `revision`; nullptr: absent.
  const Version* now(Rank rank) const;
  const Version* at(Rank rank, int64_t revision) const;
  // The last version, deletions included; nullptr: there never was one.
  const Version* last(Rank rank) const;
  const std::vector<Version>& versions(Rank rank) const { return versions_[rank]; }

  // `revision` must not be below that of the last change.
  void put(Rank rank, TextId value, int64_t lease, int64_t revision);
  void erase(Rank rank, int64_t revision);
  // Everything changed behind `revision` is forgotten.
  void undo_behind(int64_t revision);
  // The keys changed behind `revision`, the last change first.
  std::vector<Rank> changed_behind(int64_t revision) const;

  // Keys that hang on the lease, in order; empty if none.
  std::vector<Rank> keys_of(int64_t lease) const;
  // Leases that hold at least one key.
  std::vector<int64_t> leases_in_use() const;

 private:
  struct Changed {
    int64_t revision = 0;
    Rank rank = kNoRank;
  };
  void attach(Rank rank, int64_t lease);
  void detach(Rank rank, int64_t lease);

  std::vector<std::vector<Version>> versions_;  // by rank, then by revision
  std::vector<Changed> changed_;                // in the order of changes
  std::map<int64_t, std::set<Rank>> leases_;
};

}  // namespace quorate::check
