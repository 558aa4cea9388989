// front/grpc/near_end.h: the node's side of the connections that one client's thread serves.
//
// Makes of what comes across calls of the node's server, which the handlers cannot tell from those
// of a socket, and gathers what they answer. Lives on the node's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "front/grpc/bearer.h"
#include "front/grpc/crossing.h"

namespace quorate::front::grpc {

class NearEnd {
 public:
  explicit NearEnd(Server& server);
  ~NearEnd();
  NearEnd(const NearEnd&) = delete;
  NearEnd& operator=(const NearEnd&) = delete;

  void take(const InwardBatch& batch);
  // What this turn has to say; null: nothing.
  std::unique_ptr<OutwardBatch> gathered() { return std::move(outward_); }
  void close_calls();
  void count_refused() { ++server_.counters().connections_refused; }

 private:
  class Link;
  void take_item(const Inward& item, Cutter& bytes);
  Call* acquire(const Inward& item);
  void open(const Inward& item, Cutter& bytes);
  void open_page(const Inward& item, std::string_view path);
  void on_drained(const Inward& item);
  Call* find(CallId far) const;
  void send_over(Call& call, uint64_t link);

  Server& server_;
  std::unordered_map<uint64_t, std::unique_ptr<Link>> links_;
  std::vector<CallId> calls_;  // ours, by the slot of the client's side
  std::unique_ptr<OutwardBatch> outward_;
  ServerMetrics counted_;
};

}  // namespace quorate::front::grpc
