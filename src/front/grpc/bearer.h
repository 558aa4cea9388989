// front/grpc/bearer.h: what carries calls, and the account of what lies with it.
//
// A server knows of whoever brought a call only this: a socket of its own (connection.h), or a
// connection that another thread serves (near_end.h). What has been answered and not been taken by
// the client is counted here, and complete calls wait here while it is too much.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

#include "front/grpc/call.h"
#include "front/grpc/offer.h"

namespace quorate::front::grpc {

class Server;

class Bearer {
 public:
  // `answers_bytes_max`: beyond it complete calls wait.
  Bearer(Server& server, Offer offer, size_t answers_bytes_max)
      : server_(server), offer_(offer), answers_bytes_max_(answers_bytes_max) {}
  virtual ~Bearer() = default;
  Bearer(const Bearer&) = delete;
  Bearer& operator=(const Bearer&) = delete;

  virtual void respond(Call& call) = 0;  // it has new output or has finished
  // Passes on what is ready; true when calls ran that had waited for room, so come again.
  virtual bool flush() = 0;
  // Of the client's certificate, if it was demanded and says who the client is.
  virtual std::string_view common_name() const = 0;
  virtual size_t unsent() const { return unsent_; }
  virtual bool closed() const = 0;
  bool full() const { return unsent() > answers_bytes_max_; }

  Server& server() { return server_; }
  Offer offer() const { return offer_; }
  void count_unsent(size_t bytes) { unsent_ += bytes; }
  void count_sent(size_t bytes) { unsent_ -= bytes; }
  void count_unfinished(size_t bytes) { unfinished_ += bytes; }
  void count_consumed(size_t bytes) { unfinished_ -= bytes; }
  size_t unfinished() const { return unfinished_; }
  void wait_for_room(CallId call) { waiting_.push_back(call); }

  void adopt(Call& call);
  void drop(Call& call);

  bool dirty = false;  // on the server's list
  // Of one whose calls are handled on another thread: its number there, 0 until the first call,
  // and how much of what came back for it is still counted there as not taken by the client.
  uint64_t link = 0;
  size_t owed = 0;

 protected:
  void forget_calls();
  bool run_waiting();

  Server& server_;
  size_t unsent_ = 0;  // in calls

 private:
  Offer offer_;
  size_t answers_bytes_max_;
  std::deque<CallId> waiting_;  // complete, in order of arrival
  Call* newest_ = nullptr;      // a list of all calls under way
  size_t unfinished_ = 0;       // request bytes in calls
};

}  // namespace quorate::front::grpc
