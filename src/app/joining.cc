#include "app/joining.h"

#include <utility>

#include "base/log.h"

namespace quorate::app {
namespace {

// A member that lags a little has not heard of the addition yet.
constexpr Duration kRefusedPatience = std::chrono::seconds(3);
// Machines of one cluster are often started together.
constexpr Duration kUnreachablePatience = std::chrono::seconds(60);
constexpr Duration kReportInterval = std::chrono::seconds(5);
constexpr Duration kPause = std::chrono::milliseconds(200);

std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& each : list) text += (text.empty() ? "" : ", ") + each;
  return text;
}

}  // namespace

Joining::Joining(world::EventLoop& loop, world::Security* security, Self self,
                 std::vector<std::string> contacts, Done done)
    : loop_(loop),
      self_(std::move(self)),
      contacts_(std::move(contacts)),
      done_(std::move(done)),
      inquirer_(loop, security) {}

void Joining::start() {
  started_ = reported_ = loop_.now();
  if (contacts_.empty()) {
    return finish(fail(ErrorKind::invalid,
                       "--initial-cluster-state existing needs the other members in "
                       "--initial-cluster, to ask one of them who this machine is; copy the list "
                       "that `member add` printed"));
  }
  log(LogLevel::info,
      "asking the members of the cluster who this machine is: " + joined(contacts_));
  ask_next();
}

void Joining::ask_next() {
  const std::string& address = contacts_[asked_++ % contacts_.size()];
  inquirer_.ask(address, [this, address](const Result<Bytes>& answer) { heard(address, answer); });
}

void Joining::heard(const std::string& address, const Result<Bytes>& answer) {
  if (!answer) {
    last_problem_ = answer.error().text;
  } else if (answer->empty()) {
    last_problem_ = address + ": it has not come up itself yet";
  } else if (auto introduction = node::decode_introduction(*answer);
             !introduction || introduction->group != self_.group) {
    last_problem_ = address + ": its answer cannot be understood";
  } else {
    auto found = node::member_at(*introduction, self_.name, self_.peer_urls);
    if (!found) return finish(std::unexpected(found.error()));
    if (*found) return finish(Joined{*found, std::move(*introduction)});
    last_problem_ = address + ": the cluster has no member with these peer URLs";
    if (refused_since_ == kNever) refused_since_ = loop_.now();
  }
  if (out_of_patience()) return;
  timer_ = loop_.at(loop_.now() + kPause, [this] {
    timer_ = 0;
    ask_next();
  });
}

bool Joining::out_of_patience() {
  const Time now = loop_.now();
  if (refused_since_ != kNever && now - refused_since_ >= kRefusedPatience) {
    finish(fail(ErrorKind::not_found, "no member with the peer URLs " + joined(self_.peer_urls) +
                                          " was added to the cluster (asked " + joined(contacts_) +
                                          "); add it first: quorate member add " + self_.name +
                                          " " + joined(self_.peer_urls)));
    return true;
  }
  if (now - started_ >= kUnreachablePatience) {
    finish(fail(ErrorKind::unavailable,
                "no member of the cluster answers (" + last_problem_ +
                    "); check --initial-cluster, and that the members run and can be reached"));
    return true;
  }
  if (now - reported_ >= kReportInterval) {
    reported_ = now;
    log(LogLevel::warn, "cannot join yet: " + last_problem_ + "; trying on");
  }
  return false;
}

void Joining::finish(Result<Joined> outcome) {
  // In a task of its own: whoever hears it may destroy this.
  loop_.post([done = std::exchange(done_, {}), outcome = std::move(outcome)] { done(outcome); });
}

}  // namespace quorate::app
