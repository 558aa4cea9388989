// app/etcdctl/turn.h: whose turn it is among those that wait under one name (lock, elect).
//
// Each keeps a key NAME/LEASE under a lease of its own; the one whose key is oldest has the turn.
// A waiter watches only the key created next before its own, so that a release wakes one. This is
// the way etcd's own clients take turns, so theirs and ours wait in one line.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "app/commands.h"
#include "app/etcdctl/keeper.h"
#include "app/interruption.h"

namespace quorate::app::etcdctl {

class Turn {
 public:
  Turn(const Common& common, Interruption& interruption);

  // Waits in line. An exit code when the turn did not come; then the key is gone.
  std::optional<int> take(const std::string& name, const std::string& value, int64_t seconds);
  // Renews the lease until it is lost (false), or `patience` is over or a signal came (true).
  bool hold(Duration patience);
  // Removes key and lease. What cannot be removed ends with the lease.
  void release();

  const std::string& key() const { return key_; }
  int64_t revision() const { return revision_; }
  Session& session() { return session_; }

 private:
  std::optional<int> grant(int64_t seconds);
  std::optional<int> enter(const std::string& value);
  std::optional<int> await_turn(const std::string& prefix);
  std::optional<int> await_end(const std::string& key, int64_t since);

  Session session_;
  Session renewals_;  // its own: a call that waits must not delay a renewal
  Interruption& interruption_;
  std::optional<Keeper> keeper_;
  int64_t lease_ = 0;
  std::string key_;
  int64_t revision_ = 0;  // at which the key was created
};

}  // namespace quorate::app::etcdctl
