// storage/mvcc/hash_walk.h: a hash of the keyspace as of one revision, under way.
//
// It is etcd's HashKV: CRC-32C over the table's name and the key and value of every row up to the
// revision; of what was compacted only rows that a reader at the revision still sees. Members that
// hold the same history agree, however far each has come with removing old rows.
//
// A large store takes seconds to read, so it goes in steps, with writes between them. The walk
// holds no pointer, so it may go on at another store with the same history.
#pragma once

#include <cstdint>

#include "storage/mvcc/revision.h"

namespace quorate::storage::mvcc {

struct HashWalk {
  int64_t wanted = 0;      // the revision asked for; 0: the current one when the walk begins
  int64_t revision = 0;    // the one it is about
  int64_t compacted = -1;  // of the store; when that changes, the walk begins again
  Revision next;           // the first row that is not in `crc`
  uint32_t crc = 0;
  bool begun = false;
  bool finished = false;
  bool anything_live = false;  // at the revision
};

}  // namespace quorate::storage::mvcc
