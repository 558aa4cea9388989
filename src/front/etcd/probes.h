// front/etcd/probes.h: /livez and /readyz, as kubelets ask for them.
//
// Each is a list of checks; every check is also a page of its own below it. A probe that fails
// names each failed check and why, so that the reason stands in the kubelet's event. Probes need
// no user: they must work while everything else is refused.
#pragma once

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class Probes {
 public:
  explicit Probes(Api& api) : api_(api) {}
  // False: no page of this one.
  bool on_request(grpc::CallId call, const grpc::PageRequest& request);

 private:
  // In the order in which they are listed.
  enum class Check : uint8_t { data_corruption, serializable_read, linearizable_read, non_learner };
  struct Named {
    Check check;
    std::string_view name;
    bool of_livez;  // a process that fails this one is helped by a restart
  };
  static constexpr Named kChecks[] = {
      {Check::data_corruption, "data_corruption", false},
      {Check::serializable_read, "serializable_read", true},
      {Check::linearizable_read, "linearizable_read", false},
      {Check::non_learner, "non_learner", false},
  };
  struct Selection {
    uint32_t checks = 0;  // one bit per check
    bool verbose = false;
    bool has(Check check) const { return (checks >> static_cast<uint32_t>(check) & 1U) != 0; }
    void add(Check check) { checks |= 1U << static_cast<uint32_t>(check); }
    void remove(Check check) { checks &= ~(1U << static_cast<uint32_t>(check)); }
  };
  static void apply_query(std::string_view query, bool excludable, Selection& selection);
  void run(grpc::CallId call, Selection selection);
  // `barrier` is how the linearizable read went; empty: well. Empty result: the check holds.
  std::string failure(Check check, const std::string& barrier) const;
  void answer(grpc::CallId call, Selection selection, const std::string& barrier);

  Api& api_;
};

// Why a read from this member's own state fails now; empty: it does not.
std::string local_read_failure(Api& api);

}  // namespace quorate::front::etcd
