// Messages in words, for traces.
#include <string>
#include <string_view>

#include "consensus/raft/wire.h"

namespace quorate::consensus::raft {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }
std::string place(Index index, uint64_t term) { return number(index.value) + "/" + number(term); }

std::string text(const VoteRequest& body) {
  std::string said = body.before_vote ? "would you vote for me" : "vote for me";
  said += " in term " + number(body.asked_term) + ", my log ends at ";
  said += place(body.last, body.last_term);
  return body.transfer ? said + " (the leader asked me)" : said;
}
std::string text(const VoteReply& body) {
  if (body.before_vote) return body.granted ? "I would vote for you" : "I would not vote for you";
  return body.granted ? "my vote is yours" : "no vote for you";
}
std::string text(const Append& body) {
  return "append behind " + place(body.previous, body.previous_term) + ", committed " +
         number(body.committed.value);
}
std::string text(const AppendReply& body) {
  if (body.accepted) return "stored up to " + number(body.index.value);
  return "refused behind " + number(body.index.value) + ", try " + place(body.hint, body.hint_term);
}
std::string text(const Heartbeat& body) {
  return "heartbeat, committed " + place(body.committed, body.committed_term) + ", round " +
         number(body.round);
}
std::string text(const HeartbeatReply& body) {
  return "heard you, round " + number(body.round) + ", my log ends at " + number(body.last.value);
}
std::string text(const TimeoutNow&) { return "campaign now"; }
std::string text(const Stored&) { return "stored on our own disk"; }
std::string text(const RepairRequest& body) {
  const WantedRun& first = body.wanted.front();
  if (body.store_lost) return "my state is lost, I need one of " + number(first.first.value);
  std::string said = "my disk has lost " + place(first.first, first.term);
  for (const WantedRun& run : body.wanted) {
    if (run.last != first.first) said += " to " + place(run.last, run.term);
  }
  return said;
}
std::string text(const RepairReply& body) {
  return "of what you lost I hold up to " + number(body.held.value) + ", state of " +
         number(body.snapshot.value);
}

std::string_view word(const VoteRequest& body) { return body.before_vote ? "ask" : "vote"; }
std::string_view word(const VoteReply& body) {
  return body.before_vote ? "ask-reply" : "vote-reply";
}
std::string_view word(const Append&) { return "append"; }
std::string_view word(const AppendReply&) { return "append-reply"; }
std::string_view word(const Heartbeat&) { return "heartbeat"; }
std::string_view word(const HeartbeatReply&) { return "heartbeat-reply"; }
std::string_view word(const TimeoutNow&) { return "timeout-now"; }
std::string_view word(const Stored&) { return "letter"; }
std::string_view word(const RepairRequest&) { return "repair"; }
std::string_view word(const RepairReply&) { return "repair-reply"; }

}  // namespace

std::string_view kind_of(const Head& head) {
  return std::visit([](const auto& body) { return word(body); }, head.body);
}

// Entries are written index/term.
std::string describe_message(const Message& message) {
  const std::optional<Head> head = decode_head(message.head);
  if (!head) return "malformed";
  std::string said = std::visit([](const auto& body) { return text(body); }, head->body);
  said += " [term " + number(head->term) + "]";
  for (const Entry& entry : message.entries) {
    said += " +" + place(entry.index, entry.ballot.round);
    if (entry.kind == EntryKind::members) said += "m";
  }
  return head->amnesiac ? said + " amnesiac" : said;
}

}  // namespace quorate::consensus::raft
