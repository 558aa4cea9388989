// app/bootstrap.h: how machines that are started at once agree on one cluster (--bootstrap-seeds).
//
// The seeds hold one register together, before there is any cluster: "founding", written once. It
// says which members there are and under which ids, drawn at random, so that a cluster made anew
// at the same addresses is another one. Whoever knows the decision tells it to whoever asks.
// Invariant: nobody goes on as a member but with what the register holds.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "node/introduction.h"
#include "node/registers/host.h"
#include "world/real/event_loop.h"
#include "world/real/inquirer.h"
#include "world/real/tcp_network.h"

namespace quorate::app {

struct Seed {
  std::string name;
  std::vector<std::string> urls;
  std::vector<std::string> addresses;  // to dial
};

struct BootstrapOptions {
  std::string directory;  // of the whole member; "bootstrap" is made within
  std::string token;
  std::string name;                 // of this seed
  std::vector<Seed> seeds;          // all of them
  std::vector<std::string> listen;  // as for world::TcpOptions
  GroupId group;
};

// What this member has learned in an earlier run; empty: nothing.
Result<std::optional<node::Introduction>> load_founding(world::Disk& disk,
                                                        const std::string& directory);

class Bootstrap : private world::Network::Receiver {
 public:
  using Done = std::function<void(Result<node::Introduction>)>;

  // `done` is called once, in a task of its own, unless this is destroyed; then the decision is on
  // disk, and the peer port is free again once this is destroyed.
  Bootstrap(world::EventLoop& loop, world::Disk& disk, world::Security* security,
            BootstrapOptions options, Done done);
  Bootstrap(const Bootstrap&) = delete;
  Bootstrap& operator=(const Bootstrap&) = delete;
  ~Bootstrap() override;
  // An error is a sentence for the operator.
  Result<void> start();

 private:
  void on_connected(NodeId peer) override { static_cast<void>(peer); }
  void on_disconnected(NodeId peer) override { static_cast<void>(peer); }
  void on_frame(NodeId peer, Bytes frame) override;
  void on_bulk_sent(NodeId peer) override { static_cast<void>(peer); }

  Result<Bytes> proposal() const;
  void propose();
  void heard(const node::RegisterOutcome& outcome);
  void ask_next();
  void learned(const Bytes& founding);
  void finish(Result<node::Introduction> outcome);
  void complain_at_times(const std::string& problem);
  const Seed& self() const;

  world::EventLoop& loop_;
  world::Disk& disk_;
  world::Security* security_;
  BootstrapOptions options_;
  Done done_;
  std::unique_ptr<world::DirectoryLock> lock_;
  world::Inquirer inquirer_;
  std::unique_ptr<world::TcpNetwork> network_;
  std::unique_ptr<node::RegisterHost> host_;
  std::vector<std::string> others_;  // addresses
  size_t asked_ = 0;
  Time reported_{};
  node::Lifeline lifeline_;
};

}  // namespace quorate::app
