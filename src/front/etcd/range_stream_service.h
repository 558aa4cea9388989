// front/etcd/range_stream_service.h: etcdserverpb.KV.RangeStream: a range in pieces of bounded
// size, all of one revision, the next one made when the client has taken the one before.
//
// Merged as protobuf merges, the pieces are what Range would have answered. Between two of them
// the store goes on; if the revision is compacted meanwhile, the stream ends with that error.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "front/etcd/api.h"
#include "front/etcd/paced_calls.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

class RangeStreamService final : public grpc::StreamHandler {
 public:
  explicit RangeStreamService(Api& api);

  void on_open(grpc::CallId call) override;
  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId) override {}
  void on_writable(grpc::CallId call) override;
  void on_closed(grpc::CallId call) override;
  void on_draining();

 private:
  struct Stream {
    grpc::CallId call;
    std::string message;  // what the request borrows
    std::string next_key;
    machine::etcd::RangeRequest request;  // of what is left
    int64_t limit = 0;                    // of the whole; 0: none
    int64_t revision = 0;                 // when it began; 0: not yet
    int64_t sent = 0;                     // records
  };

  Stream* find(grpc::CallId call);
  std::optional<ApiError> check(const machine::etcd::RangeRequest& request) const;
  void begin(grpc::CallId call, std::optional<node::RefusedWhy> why);
  void send_next(grpc::CallId call);
  void send(Stream& stream, machine::etcd::RangePiece piece);

  Api& api_;
  PacedCalls paced_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

}  // namespace quorate::front::etcd
