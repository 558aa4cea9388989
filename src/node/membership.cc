#include "node/membership.h"

#include <algorithm>
#include <utility>

#include "base/mutant.h"
#include "node/member_about.h"

namespace quorate::node {
namespace {

void add(Membership::Addresses& to, NodeId self, const consensus::Members& members) {
  for (const auto* list : {&members.voters, &members.outgoing, &members.learners}) {
    for (const consensus::Member& member : *list) {
      if (member.id == self || !to[member.id].empty()) continue;
      if (const auto about = decode_member_about(member.about)) {
        to[member.id] = addresses_of(about->urls);
      }
    }
  }
}

}  // namespace

Membership::Membership(NodeId self, std::vector<PeerConfig> configured,
                       std::vector<std::string> contacts, Index joined_at)
    : self_(self),
      configured_(std::move(configured)),
      contacts_(std::move(contacts)),
      belonged_at_(joined_at) {}

void Membership::judge(const consensus::Members& members, Index index) {
  if (members.voters.empty()) return;
  if (members.contains(self_)) {
    belonged_at_ = std::max(belonged_at_, index);
  } else if (index > belonged_at_ || QRT_MUTANT(JOIN_REPLAY)) {
    removed_ = true;
  }
}

void Membership::set_decided(const consensus::Members& members, Index index) {
  decided_ = members;
  decided_at_ = index;
  judge(decided_, index);
}

void Membership::heard(const Introduction& introduction) {
  if (introduction.members.voters.empty()) return;
  if (QRT_MUTANT(JOIN_LAGGARD)) removed_ |= !introduction.members.contains(self_);
  if (!QRT_MUTANT(M14)) judge(introduction.members, introduction.index);
  if (introduction.index <= decided_at_) return;
  if (!told_ || told_->index < introduction.index) told_ = introduction;
}

Membership::Addresses Membership::peers() const {
  Addresses addresses;
  // The newest source first: its addresses are the ones that count.
  if (is_behind()) add(addresses, self_, told_->members);
  add(addresses, self_, in_force_);
  if (!QRT_MUTANT(JOIN_FORGET)) add(addresses, self_, decided_);
  if (decided_.voters.empty() || QRT_MUTANT(M16_FLAGS)) {
    for (const PeerConfig& peer : configured_) {
      if (peer.id != self_ && addresses[peer.id].empty()) addresses[peer.id] = peer.addresses;
    }
  }
  return addresses;
}

std::string Membership::next_to_ask() {
  std::vector<std::string> everywhere;
  for (const auto& [id, addresses] : peers()) {
    everywhere.insert(everywhere.end(), addresses.begin(), addresses.end());
  }
  for (const std::string& contact : contacts_) {
    if (std::ranges::find(everywhere, contact) == everywhere.end()) everywhere.push_back(contact);
  }
  return everywhere.empty() ? std::string() : everywhere[asked_++ % everywhere.size()];
}

}  // namespace quorate::node
