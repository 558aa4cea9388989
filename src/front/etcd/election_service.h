// front/etcd/election_service.h: v3electionpb.Election: who holds an office, and what they say.
//
// An election is a line (waiting_line.h): a campaign lasts until its key is at the front, and the
// value of the first key is the leader's word. The key's create revision is the leader's number:
// greater than that of every earlier leader, and what proclaiming and resigning are tied to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "front/etcd/election_observers.h"
#include "front/etcd/waiting_line.h"

namespace quorate::front::etcd {

class ElectionService : private grpc::StreamHandler {
 public:
  ElectionService(Api& api, WaitingLine& line);

  // To be called at the end of each turn, after the node's part and before the server's.
  void on_turn_end() { observers_.on_turn_end(); }
  void on_draining() { observers_.on_draining(); }

 private:
  // A LeaderKey of a request.
  struct Office {
    std::string_view key;
    int64_t revision = 0;
    int64_t lease = 0;
  };
  // Campaign is a unary call, taken as a stream of one message: so its end is heard of.
  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId call) override;
  void on_writable(grpc::CallId) override {}
  void on_closed(grpc::CallId call) override { line_.leave(call); }
  void on_proclaim(grpc::CallId call, std::string_view message);
  void on_leader(grpc::CallId call, std::string_view message);
  void on_resign(grpc::CallId call, std::string_view message);
  std::optional<Office> read_office(grpc::CallId call, std::string_view message);
  void answer_leader(grpc::CallId call);
  enum class Unmet : uint8_t { answered, refused };
  void propose(grpc::CallId call, std::string_view wire, Unmet unmet);

  Api& api_;
  WaitingLine& line_;
  ElectionObservers observers_;
};

}  // namespace quorate::front::etcd
