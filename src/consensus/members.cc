#include "consensus/members.h"

#include <algorithm>

#include "base/codec.h"

namespace quorate::consensus {
namespace {

constexpr uint8_t kFormat = 2;
constexpr uint8_t kFormatBeforeLives = 1;
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

// Format 1 knew no lives of outgoing voters.
std::vector<Member> decode_ids(Decoder& in) {
  std::vector<Member> list;
  const uint64_t count = in.varint();
  if (count > kMembersMax) in.fail();
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    const NodeId id{in.u64()};
    if (!list.empty() && !(list.back().id < id)) in.fail();
    list.push_back({id, 0, {}});
  }
  return list;
}

}  // namespace

bool Members::is_voter(NodeId id) const { return has(voters, id) || has(outgoing, id); }

bool Members::is_learner(NodeId id) const { return has(learners, id); }

const Member* Members::find(NodeId id) const {
  for (const auto* list : {&voters, &learners, &outgoing}) {
    for (const Member& member : *list) {
      if (member.id == id) return &member;
    }
  }
  return nullptr;
}

std::vector<NodeId> Members::everyone() const {
  std::vector<NodeId> ids;
  for (const auto* list : {&voters, &outgoing, &learners}) {
    for (const Member& member : *list) ids.push_back(member.id);
  }
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  return ids;
}

Bytes encode_members(const Members& members) {
  Encoder out;
  out.u8(kFormat);
  encode_list(out, members.voters);
  encode_list(out, members.outgoing);
  encode_list(out, members.learners);
  return out.take();
}

std::optional<Members> decode_members(const Bytes& encoded) {
  Decoder in(encoded.view());
  const uint8_t format = in.u8();
  if (format != kFormat && format != kFormatBeforeLives) return std::nullopt;
  Members members;
  members.voters = decode_list(in);
  members.outgoing = format == kFormat ? decode_list(in) : decode_ids(in);
  members.learners = decode_list(in);
  if (!in.finished()) return std::nullopt;
  for (const Member& learner : members.learners) {
    if (has(members.voters, learner.id)) return std::nullopt;
  }
  for (const Member& old : members.outgoing) {
    for (const Member& voter : members.voters) {
      if (voter.id == old.id && voter.incarnation != old.incarnation) return std::nullopt;
    }
  }
  return members;
}

Members next_configuration(const Members& current, const Members& target) {
  const auto strangers = [](const std::vector<Member>& list, const std::vector<Member>& known) {
    return std::ranges::count_if(list,
                                 [&](const Member& member) { return !has(known, member.id); });
  };
  Members next = target;
  next.outgoing.clear();
  const auto coming = strangers(target.voters, current.voters);
  const auto going = strangers(current.voters, target.voters);
  if (coming + going > 1) next.outgoing = current.voters;
  return next;
}

}  // namespace quorate::consensus
