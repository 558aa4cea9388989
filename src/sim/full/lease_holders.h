// sim/full/lease_holders.h: clients that live on leases.
//
// Each grants one, puts a key on it and renews it again and again, until it revokes it, forgets to
// renew it, or hears that it is gone; then it begins anew, often with the same id. Whom it asks
// changes when somebody refuses or is silent. What it hears is judged as any client's answer is.
#pragma once

#include <vector>

#include "sim/full/client.h"
#include "sim/full/cluster.h"

namespace quorate::sim::full {

class LeaseHolders {
 public:
  LeaseHolders(Cluster& cluster, Clients& clients, Rng rng);
  // They go on while the clients may ask.
  void start();

 private:
  struct Holder {
    uint64_t member = 0;
    int64_t lease = 0;
    int64_t seconds = 0;
  };
  void later(uint64_t holder, Duration pause, void (LeaseHolders::*step)(uint64_t));
  void write(uint64_t holder, machine::etcd::CommandKind kind, std::string_view request,
             std::function<void(Heard)> then);
  Duration part_of_time(const Holder& holder, uint64_t percent);
  void begin(uint64_t holder);
  void grant(uint64_t holder);
  void attach(uint64_t holder);
  void act(uint64_t holder);
  void revoke(uint64_t holder);
  void ask(uint64_t holder, Operation::Kind kind);

  Cluster& cluster_;
  Clients& clients_;
  Rng rng_;
  std::vector<Holder> holders_;
};

}  // namespace quorate::sim::full
