// front/grpc/far_end.h: the client's side: a server whose handlers pass everything on.
//
// Lives on the client's thread, apart from being made and destroyed while that does not run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "front/grpc/crossing.h"
#include "front/grpc/ferry.h"
#include "front/grpc/server.h"
#include "front/grpc/stream_handler.h"

namespace quorate::front::grpc {

class FarEnd final : private StreamHandler, private Departures {
 public:
  // What is handed over may wait in here until the node has room.
  using HandOver = std::function<void(std::unique_ptr<InwardBatch>)>;
  FarEnd(const Server& node, ClientLoop loop, ServerOptions options, HandOver hand_over);
  ~FarEnd() override;
  FarEnd(const FarEnd&) = delete;
  FarEnd& operator=(const FarEnd&) = delete;

  Server& server() { return server_; }
  void take(OutwardBatch& batch);

 private:
  ServerOptions passing_on(ServerOptions options);
  void on_unary(CallId id);
  void on_page(CallId id);
  void on_open(CallId id) override;
  void on_message(CallId id, std::string_view message) override;
  void on_half_close(CallId id) override;
  void on_writable(CallId id) override;
  void on_closed(CallId) override {}  // on_call_over() hears of all
  void on_refusal(const Call& call, const Status& status) override;
  void on_call_over(const Call& call) override;
  void on_connection_over(const Bearer& connection) override;

  InwardBatch& batch();
  Inward& add(Inward::Kind kind, CallId call);
  Inward& cross(Inward::Kind kind, Call& call);
  void announce(Bearer& connection);
  void deliver(const Outward& item, std::string text, Output& bytes);
  void pass_answers(Call& call, size_t size, Output& bytes);
  void hand_over_if_much();
  void on_turn_end();
  void tell_what_was_sent();

  HandOver hand_over_;
  std::shared_ptr<FarEnd*> self_;  // what outlives us in the loop asks it for us
  std::unique_ptr<InwardBatch> batch_;
  std::vector<Bearer*> owing_;
  uint64_t links_ = 0;  // announced so far
  size_t connections_told_ = 0;
  Server server_;
};

}  // namespace quorate::front::grpc
