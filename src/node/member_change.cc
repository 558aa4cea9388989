#include "node/member_change.h"

#include <algorithm>

#include "base/check.h"
#include "base/codec.h"
#include "base/mutant.h"
#include "node/limits.h"
#include "node/member_about.h"

namespace quorate::node {
namespace {

using consensus::Member;
using consensus::Members;
using Changed = std::expected<Members, ChangeRefusal>;

constexpr uint8_t kFormat = 1;
// etcd's measure of "in sync": 90 % of what the leader has.
constexpr uint64_t kReadyPercent = 90;

std::unexpected<ChangeRefusal> refused(ChangeRefusal why) {
  return std::unexpected<ChangeRefusal>(why);
}

MemberAbout about_of(const Member& member) {
  return decode_member_about(member.about).value_or(MemberAbout{});
}

// Between add and promotion such a one is a voter to the outside.
bool counts_as_learner(const Members& members, NodeId id) {
  const Member* member = members.find(id);
  return member != nullptr && members.is_learner(id) && !about_of(*member).voter_wanted;
}

void put(std::vector<Member>& list, Member member) {
  const auto place = std::ranges::lower_bound(list, member.id, {}, &Member::id);
  list.insert(place, std::move(member));
}

void drop(std::vector<Member>& list, NodeId id) {
  std::erase_if(list, [&](const Member& member) { return member.id == id; });
}

bool urls_taken(const Members& members, NodeId except, const std::vector<std::string>& urls) {
  for (const auto* list : {&members.voters, &members.learners}) {
    for (const Member& member : *list) {
      if (member.id == except) continue;
      for (const std::string& url : about_of(member).urls) {
        if (std::ranges::find(urls, url) != urls.end()) return true;
      }
    }
  }
  return false;
}

bool in_sync(const Member& member, const ChangeRules& rules) {
  // An incarnation of zero: it has not been started yet (docs/decisions/0015).
  if (member.incarnation == 0 && !QRT_MUTANT(JOIN_LIFE)) return false;
  const auto found = std::ranges::find(rules.progress, member.id, &std::pair<NodeId, Index>::first);
  const uint64_t match = found == rules.progress.end() ? 0 : found->second.value;
  return match * 100 >= rules.last.value * kReadyPercent;
}

Changed add(const Members& base, const MemberChange& change, const ChangeRules& rules) {
  if (base.contains(change.member)) return refused(ChangeRefusal::member_exists);
  if (urls_taken(base, NodeId{}, change.urls)) return refused(ChangeRefusal::urls_exist);
  MemberAbout about;
  about.urls = change.urls;
  about.voter_wanted = change.kind == ChangeKind::add_voter;
  if (!about.voter_wanted) {
    const auto learners = std::ranges::count_if(
        base.learners, [&](const Member& learner) { return counts_as_learner(base, learner.id); });
    if (static_cast<size_t>(learners) >= rules.learners_max) {
      return refused(ChangeRefusal::too_many_learners);
    }
  }
  Members target = base;
  auto& list = about.voter_wanted && QRT_MUTANT(JOIN_VOTER) ? target.voters : target.learners;
  put(list, {change.member, 0, encode_member_about(about)});
  return target;
}

void make_voter(Members& members, NodeId id) {
  Member member = *members.find(id);
  MemberAbout about = about_of(member);
  about.voter_wanted = false;
  member.about = encode_member_about(about);
  drop(members.learners, id);
  put(members.voters, std::move(member));
}

Changed promote(const Members& base, const MemberChange& change, const ChangeRules& rules) {
  const Member* member = base.find(change.member);
  if (member == nullptr) return refused(ChangeRefusal::member_not_found);
  if (base.is_voter(change.member)) return refused(ChangeRefusal::not_learner);
  if (!in_sync(*member, rules)) return refused(ChangeRefusal::learner_not_ready);
  if (!counts_as_learner(base, change.member)) return refused(ChangeRefusal::not_learner);
  Members target = base;
  make_voter(target, change.member);
  return target;
}

Changed remove(const Members& base, const MemberChange& change) {
  if (!base.contains(change.member)) return refused(ChangeRefusal::member_not_found);
  Members target = base;
  drop(target.voters, change.member);
  drop(target.learners, change.member);
  if (target.voters.empty()) return refused(ChangeRefusal::no_voter_left);
  return target;
}

Changed update(const Members& base, const MemberChange& change) {
  if (!base.contains(change.member)) return refused(ChangeRefusal::member_not_found);
  if (urls_taken(base, change.member, change.urls)) return refused(ChangeRefusal::urls_exist);
  Members target = base;
  for (auto* list : {&target.voters, &target.learners}) {
    for (Member& member : *list) {
      if (member.id != change.member) continue;
      MemberAbout about = about_of(member);
      about.urls = change.urls;
      member.about = encode_member_about(about);
    }
  }
  if (QRT_MUTANT(JOIN_UPDATE) && target.is_learner(change.member))
    make_voter(target, change.member);
  return target;
}

Changed replace(const Members& base, const MemberChange& change, const ChangeRules& rules) {
  const bool known = base.contains(change.member) && base.contains(change.leaving);
  if (!known) return refused(ChangeRefusal::member_not_found);
  if (!base.is_learner(change.member)) return refused(ChangeRefusal::not_learner);
  if (!base.is_voter(change.leaving)) return refused(ChangeRefusal::member_not_found);
  if (!in_sync(*base.find(change.member), rules)) return refused(ChangeRefusal::learner_not_ready);
  Members target = base;
  make_voter(target, change.member);
  drop(target.voters, change.leaving);
  return target;
}

}  // namespace

Bytes encode_member_change(const MemberChange& change) {
  Encoder out;
  out.u8(kFormat);
  out.u8(static_cast<uint8_t>(change.kind));
  out.u64(change.member.value);
  out.u64(change.leaving.value);
  out.varint(change.urls.size());
  for (const std::string& url : change.urls) out.string(url);
  return out.take();
}

std::optional<MemberChange> decode_member_change(const Bytes& encoded) {
  Decoder in(encoded.view());
  if (in.u8() != kFormat) return std::nullopt;
  MemberChange change;
  const uint8_t kind = in.u8();
  if (kind > static_cast<uint8_t>(ChangeKind::replace)) return std::nullopt;
  change.kind = static_cast<ChangeKind>(kind);
  change.member = NodeId{in.u64()};
  change.leaving = NodeId{in.u64()};
  const uint64_t count = in.varint();
  if (count > kMemberUrlsMax) return std::nullopt;
  for (uint64_t position = 0; in.ok() && position < count; ++position) {
    const std::string_view url = in.string();
    if (url.size() > kMemberUrlBytesMax) return std::nullopt;
    change.urls.emplace_back(url);
  }
  if (!in.finished() || !change.member) return std::nullopt;
  return change;
}

Changed changed(const Members& base, const MemberChange& change, const ChangeRules& rules) {
  CHECK(!base.joint(), "a change is made of a configuration that is not joint");
  switch (change.kind) {
    case ChangeKind::add_voter:
    case ChangeKind::add_learner:
      return add(base, change, rules);
    case ChangeKind::promote:
      return promote(base, change, rules);
    case ChangeKind::remove:
      return remove(base, change);
    case ChangeKind::update:
      return update(base, change);
    case ChangeKind::replace:
      return replace(base, change, rules);
  }
  CHECK(false, "every kind of change is known");
}

bool removes(const MemberChange& change, NodeId member) {
  if (change.kind == ChangeKind::remove) return change.member == member;
  return change.kind == ChangeKind::replace && change.leaving == member;
}

bool Promotion::is_wanted(const Members& members) {
  return std::ranges::any_of(members.learners,
                             [](const Member& learner) { return about_of(learner).voter_wanted; });
}

std::optional<Members> Promotion::look(const Members& decided, const consensus::Status& status) {
  // What was seen in another term of office was another log.
  const bool same_office = round_ == status.ballot.round;
  round_ = status.ballot.round;
  const Index before = std::exchange(last_seen_, status.last);
  if (!same_office) return std::nullopt;
  for (const Member& learner : decided.learners) {
    if (!about_of(learner).voter_wanted || learner.incarnation == 0) continue;
    const auto found =
        std::ranges::find(status.progress, learner.id, &std::pair<NodeId, Index>::first);
    if (found == status.progress.end()) continue;
    if (found->second < before && !QRT_MUTANT(JOIN_EARLY)) continue;
    Members target = decided;
    make_voter(target, learner.id);
    return target;
  }
  return std::nullopt;
}

}  // namespace quorate::node
