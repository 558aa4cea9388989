#include "consensus/members.h"

#include <algorithm>

#include "base/codec.h"

namespace quorate::consensus {
namespace {

constexpr uint64_t kMembersMax = 1024;  // hostile input bound; real clusters have under ten

bool has(const std::vector<Member>& list, NodeId id) {
  return std::ranges::any_of(list, [&](const Member& member) { return member.id == id; });
}

void encode_list(Encoder& out, const std::vector<Member>& list) {
  out.varint(list.size());
  for (const Member& member : list) {
    out.u64(member.id.value);
    out.varint(member.incarnation);
    out.string(member.about.view());
  }
}

std::vector<Member> decode_list(Decoder& in) {
  std::vector<Member> list;
  const uint64_t count = in.varint();
  if (count > kMembersMax) in.fail();
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    Member member;
    member.id = NodeId{in.u64()};
    member.incarnation = in.varint();
    member.about = Bytes(in.string());
    if (!list.empty() && !(list.back().id < member.id)) in.fail();
    list.push_back(std::move(member));
  }
  return list;
}

}  // namespace

bool Members::is_voter(NodeId id) const {
  return has(voters, id) || std::ranges::binary_search(outgoing, id);
}

bool Members::is_learner(NodeId id) const { return has(learners, id); }

const Member* Members::find(NodeId id) const {
  for (const auto* list : {&voters, &learners}) {
    for (const Member& member : *list) {
      if (member.id == id) return &member;
    }
  }
  return nullptr;
}

std::vector<NodeId> Members::everyone() const {
  std::vector<NodeId> ids = outgoing;
  for (const auto* list : {&voters, &learners}) {
    for (const Member& member : *list) ids.push_back(member.id);
  }
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  return ids;
}

Bytes encode_members(const Members& members) {
  Encoder out;
  out.u8(1);  // format
  encode_list(out, members.voters);
  out.varint(members.outgoing.size());
  for (const NodeId id : members.outgoing) out.u64(id.value);
  encode_list(out, members.learners);
  return out.take();
}

std::optional<Members> decode_members(const Bytes& encoded) {
  Decoder in(encoded.view());
  if (in.u8() != 1) return std::nullopt;
  Members members;
  members.voters = decode_list(in);
  const uint64_t outgoing = in.varint();
  if (outgoing > kMembersMax) in.fail();
  for (uint64_t position = 0; in.ok() && position < outgoing; ++position) {
    const NodeId id{in.u64()};
    if (!members.outgoing.empty() && !(members.outgoing.back() < id)) in.fail();
    members.outgoing.push_back(id);
  }
  members.learners = decode_list(in);
  if (!in.finished()) return std::nullopt;
  for (const Member& learner : members.learners) {
    if (members.is_voter(learner.id)) return std::nullopt;
  }
  return members;
}

}  // namespace quorate::consensus
