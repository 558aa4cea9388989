// storage/kv/row_buffer.h: where RocksDB keeps rows that are not in a table yet, for rows that
// come in the order of their keys.
//
// Its own buffer is a skip list, which compares a row with fifteen others to find out what we
// know: it belongs at the end. Here rows in order are appended to a list, and the few others
// (removals by a compaction) go to a skip list beside it; whoever reads sees one sequence. One
// thread writes while any number read. Invariant: the list ascends and never changes but at its
// end.
#pragma once

#include <memory>

namespace rocksdb {
class MemTableRepFactory;
}

namespace quorate::storage {

std::shared_ptr<rocksdb::MemTableRepFactory> make_row_buffers();

}  // namespace quorate::storage
