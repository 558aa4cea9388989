// Messages in words, for traces.
#include <string>
#include <string_view>

#include "consensus/paxos/wire.h"

namespace quorate::consensus::paxos {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }
std::string number(Index index) { return std::to_string(index.value); }
std::string name(const Ballot& ballot) {
  return number(ballot.round) + "." + number(ballot.node.value);
}

std::string text(const Ask&) { return "would you promise me a ballot"; }
std::string text(const AskReply& body) { return body.granted ? "I would" : "I would not"; }
std::string text(const Prepare& body) {
  std::string said = "prepare from slot " + number(body.from);
  return body.transfer ? said + " (the leader asked me)" : said;
}
std::string text(const Promise& body) {
  if (!body.granted) return "no promise for you";
  std::string said = "promised; accepted from slot " + number(body.from) + " to " +
                     number(body.through) + ", decided " + number(body.committed);
  if (body.first > body.from) said += ", kept from " + number(body.first);
  if (!body.lost.empty()) said += ", lost " + number(body.lost.size());
  return body.complete ? said : said + ", more";
}
std::string text(const Accept& body) {
  return "accept, mine from slot " + number(body.base) + ", decided " + number(body.committed) +
         ", members of " + number(body.stop);
}
std::string text(const Accepted& body) {
  std::string said = "accepted through " + number(body.through);
  for (const IndexRange& range : body.beyond) {
    said += " and " + number(range.first) + " to " + number(range.last);
  }
  return said;
}
std::string text(const Heartbeat& body) {
  return "heartbeat, mine from slot " + number(body.base) + ", decided " + number(body.committed) +
         ", round " + number(body.round);
}
std::string text(const HeartbeatReply& body) {
  return "heard you, round " + number(body.round) + ", accepted through " + number(body.through);
}
std::string text(const TimeoutNow&) { return "prepare now"; }
std::string text(const Stored&) { return "stored on our own disk"; }
std::string text(const Fetch& body) {
  if (body.store_lost) return "my state is lost";
  std::string said = "my disk has lost";
  for (const IndexRange& range : body.wanted) {
    said += " " + number(range.first) + " to " + number(range.last);
  }
  return said;
}
std::string text(const Decided& body) {
  if (body.snapshot) return "my state of " + number(body.snapshot) + " comes";
  return "of what you lost from " + number(body.asked);
}

std::string_view word(const Ask&) { return "ask"; }
std::string_view word(const AskReply&) { return "ask-reply"; }
std::string_view word(const Prepare&) { return "prepare"; }
std::string_view word(const Promise&) { return "promise"; }
std::string_view word(const Accept&) { return "accept"; }
std::string_view word(const Accepted&) { return "accepted"; }
std::string_view word(const Heartbeat&) { return "heartbeat"; }
std::string_view word(const HeartbeatReply&) { return "heartbeat-reply"; }
std::string_view word(const TimeoutNow&) { return "timeout-now"; }
std::string_view word(const Stored&) { return "letter"; }
std::string_view word(const Fetch&) { return "fetch"; }
std::string_view word(const Decided&) { return "decided"; }

}  // namespace

std::string_view kind_of(const Head& head) {
  return std::visit([](const auto& body) { return word(body); }, head.body);
}

// Entries are written slot/ballot.
std::string describe_message(const Message& message) {
  const std::optional<Head> head = decode_head(message.head);
  if (!head) return "malformed";
  std::string said = std::visit([](const auto& body) { return text(body); }, head->body);
  said += " [" + name(head->promised) + "]";
  for (const Entry& entry : message.entries) {
    said += " +" + number(entry.index) + "/" + name(entry.ballot);
    if (entry.kind == EntryKind::members) said += "m";
  }
  return head->amnesiac ? said + " amnesiac" : said;
}

}  // namespace quorate::consensus::paxos
