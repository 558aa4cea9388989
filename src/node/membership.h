// node/membership.h: what this node knows of who belongs to the cluster, from four sources: the
// configuration in force in its own log, the one decided and applied, what a member further on
// told it, and, before it has any of these, its flags.
//
// It says whom to keep connections with and whether this node was removed. Invariants: whoever
// is in any configuration that may still be in force is kept; `removed` is said only when a
// decided configuration without this node is newer than one with it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "consensus/members.h"
#include "node/introduction.h"
#include "node/node.h"

namespace quorate::node {

class Membership {
 public:
  using Addresses = std::map<NodeId, std::vector<std::string>>;

  // `joined_at`: where in the log this member belonged for certain; zero for a founder.
  // `contacts`: addresses of the flags, asked when no better ones are known.
  Membership(NodeId self, std::vector<PeerConfig> configured, std::vector<std::string> contacts,
             Index joined_at);

  void set_in_force(const consensus::Members& members) { in_force_ = members; }
  // The configuration that is decided and applied at `index`.
  void set_decided(const consensus::Members& members, Index index);
  // What another member of the same cluster said.
  void heard(const Introduction& introduction);

  const consensus::Members& decided() const { return decided_; }
  Index decided_at() const { return decided_at_; }
  const std::optional<Introduction>& told() const { return told_; }

  bool removed() const { return removed_; }
  // All others to be connected with. An address list may be empty: that one has to dial us.
  Addresses peers() const;
  // Where to ask next; empty when nobody is known.
  std::string next_to_ask();

 private:
  bool is_behind() const { return told_ && told_->index > decided_at_; }
  void judge(const consensus::Members& members, Index index);

  NodeId self_;
  std::vector<PeerConfig> configured_;
  std::vector<std::string> contacts_;
  // Where the newest decided configuration that we know and that has us stands.
  Index belonged_at_;
  consensus::Members in_force_;
  consensus::Members decided_;
  Index decided_at_;
  std::optional<Introduction> told_;
  bool removed_ = false;
  size_t asked_ = 0;
};

}  // namespace quorate::node
