#include "app/etcdctl/watch_request.h"

#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {

std::string encode(const WatchRequest& watch) {
  std::string create;
  protobuf::write_bytes(1, watch.key, create);
  protobuf::write_bytes(2, watch.end, create);
  protobuf::write_number(3, watch.start, create);
  protobuf::write_number(4, watch.progress_notify ? 1 : 0, create);
  protobuf::write_number(6, watch.previous ? 1 : 0, create);
  protobuf::write_number(7, watch.id, create);
  std::string request;
  protobuf::write_present(1, create, request);
  return request;
}

}  // namespace quorate::app::etcdctl
