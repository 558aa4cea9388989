// machine/etcd/nested_header.h: the header of a response inside a TxnResponse: a revision only.
#pragma once

#include <string>

#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

inline void write_nested_header(int64_t revision, std::string& out) {
  ResponseHeader header;
  header.revision = revision;
  std::string wire;
  encode(header, wire);
  protobuf::write_present(1, wire, out);
}

}  // namespace quorate::machine::etcd
