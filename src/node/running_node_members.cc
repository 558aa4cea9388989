// Who belongs to the cluster, as the whole node follows it: connections, what strangers are
// told, finding the others again, and leaving when removed.
#include <algorithm>

#include "base/log.h"
#include "node/limits.h"
#include "node/member_about.h"
#include "node/running_node.h"

namespace quorate::node {

void RunningNode::take_members_news() {
  if (const consensus::Members* in_force = group_->members()) {
    membership_.set_in_force(*in_force);
  }
  if (!group_->decided_members().voters.empty()) {
    membership_.set_decided(group_->decided_members(), group_->decided_at());
    introduce();
  }
  follow_members();
  shard_.ask_for_turn();
}

void RunningNode::introduce() {
  Bytes introduction = encode_introduction({config_.cluster_id, config_.group,
                                            membership_.decided_at(), membership_.decided(),
                                            std::string(consensus::name_of(config_.protocol))});
  if (introduction.size() > kIntroductionBytesMax) {
    log(LogLevel::warn,
        "the cluster has too many members to introduce them to new ones; remove some");
    return;
  }
  network_.set_introduction(std::move(introduction));
}

// The newest decided configuration that has this member, or the best known instead of it.
const consensus::Members& RunningNode::known_members() const {
  if (membership_.told() && membership_.told()->index > group_->decided_at()) {
    return membership_.told()->members;
  }
  // Of the group and not of `membership_`, which follows a turn later: whoever is told that a
  // change is done must see it.
  if (!group_->decided_members().voters.empty()) return group_->decided_members();
  static const consensus::Members kNobody;
  const consensus::Members* in_force = group_->members();
  return in_force == nullptr ? kNobody : *in_force;
}

void RunningNode::follow_members() {
  const consensus::Members& members = known_members();
  const consensus::Member* self = members.find(config_.self);
  learner_ = self != nullptr && members.is_learner(config_.self) &&
             !decode_member_about(self->about).value_or(MemberAbout{}).voter_wanted;
  if (!removed_) peers_.follow(membership_.peers());
  if (membership_.removed()) leave_cluster();
}

void RunningNode::leave_cluster() {
  if (removed_ || failed_ || stopped_) return;
  removed_ = true;
  log(LogLevel::error,
      "the member has been permanently removed from the cluster; its data directory " +
          config_.directory +
          " must be removed before this machine can join again, under a new member id");
  group_->leave();
  // Who learns it from others is cut off already; a leader has still to tell how it ended.
  if (group_->decided_members().contains(config_.self)) peers_.follow({});
  executor_.post(lifeline_.guard([this] {
    if (removed_handler_) removed_handler_();
  }));
}

bool RunningNode::is_lost() const {
  if (failed_ || stopped_ || stopping_ || removed_) return false;
  const NodeId lead = leader();
  return !lead || (lead != config_.self && !peers_.connected().contains(lead));
}

// Asks one after the other who belongs to the cluster, as long as no leader is in reach. Answers
// when to come back.
Time RunningNode::look_for_others(Time now) {
  if (!is_lost()) {
    lost_since_.reset();
    return kNever;
  }
  if (!lost_since_) {
    lost_since_ = now;
    next_inquiry_ = now + kLostPatience;
  }
  if (inquiring_) return kNever;  // the answer brings another turn
  if (now < next_inquiry_) return next_inquiry_;
  next_inquiry_ = now + kInquiryInterval;
  const std::string address = membership_.next_to_ask();
  if (address.empty()) return next_inquiry_;
  inquiring_ = true;
  network_.inquire(address, lifeline_.guard([this](const Result<Bytes>& answer) {
    inquiring_ = false;
    heard_introduction(answer);
    shard_.ask_for_turn();
  }));
  return next_inquiry_;
}

void RunningNode::heard_introduction(const Result<Bytes>& answer) {
  if (!answer || failed_ || stopped_) return;
  const auto introduction = decode_introduction(*answer);
  if (!introduction || introduction->group != config_.group) return;
  if (introduction->cluster_id != config_.cluster_id) {
    if (std::exchange(foreign_cluster_, introduction->cluster_id) != introduction->cluster_id) {
      log(LogLevel::warn,
          "at an address of this cluster's members there is a member of another cluster; check "
          "the peer URLs and the initial cluster and token of both");
    }
    return;
  }
  membership_.heard(*introduction);
  follow_members();
}

std::vector<MemberView> RunningNode::member_views() const {
  const consensus::Members& members = known_members();
  std::vector<MemberView> views;
  for (const auto* list : {&members.voters, &members.learners}) {
    for (const consensus::Member& member : *list) {
      MemberView view;
      view.id = member.id;
      view.voter = list == &members.voters;
      const auto about = decode_member_about(member.about).value_or(MemberAbout{});
      view.name = about.name;
      view.peer_addresses = about.urls;
      view.learner = !view.voter && !about.voter_wanted;
      const auto connected = peers_.connected().find(member.id);
      if (connected != peers_.connected().end()) view.connected_since = connected->second;
      if (member.id == config_.self) view.connected_since = started_at_;
      views.push_back(std::move(view));
    }
  }
  std::ranges::sort(views, {}, &MemberView::id);
  return views;
}

void RunningNode::change_members(const MemberChange& change, Time deadline, OutcomeCallback done) {
  if (!takes_work() || stopping_) {
    executor_.post(
        [done = std::move(done)]() mutable { done(RefusedOutcome{RefusedWhy::stopping}); });
    return;
  }
  // First a barrier: a leader that was deposed without knowing must not judge by an old
  // configuration, and whoever saw an earlier change done must not be told otherwise.
  group_->read_barrier(deadline, [this, change, deadline,
                                  done = std::move(done)](std::optional<RefusedWhy> why) mutable {
    if (why || !takes_work()) {
      const RefusedWhy reason = why.value_or(RefusedWhy::stopping);
      const bool late = reason == RefusedWhy::timed_out;
      done(RefusedOutcome{late ? RefusedWhy::no_leader : reason});
      return;
    }
    group_->change_members(change, deadline, std::move(done));
  });
  shard_.ask_for_turn();
}

}  // namespace quorate::node
