#include "app/top/asker.h"

#include <algorithm>

#include "app/doctor/page.h"
#include "app/urls.h"

namespace quorate::app::top {
namespace {

using front::grpc::Answer;
using front::grpc::Fate;

// Whoever has not answered by then is shown as silent and asked anew.
constexpr auto kPatience = std::chrono::seconds(3);
// To connect, and for the metrics; also what ending the view may have to wait for.
constexpr auto kBriefPatience = std::chrono::seconds(1);
// How soon a question under way sees that the view ends.
constexpr auto kSlice = std::chrono::milliseconds(100);
// Threads at most: a cluster has a handful, a list from a hostile server any number.
constexpr size_t kAskersMax = 64;

Common hasty(const Common& common, const std::string& endpoint) {
  Common made = common;
  made.endpoints = {endpoint};
  made.timeout = std::min<Duration>(common.timeout, kPatience);
  made.dial_timeout = std::min<Duration>(common.dial_timeout, kBriefPatience);
  return made;
}

}  // namespace

Asker::Asker(const Common& common, const std::string& endpoint, bool given, Pace pace)
    : common_(hasty(common, endpoint)),
      endpoint_(endpoint),
      given_(given),
      pace_(pace),
      session_(common_),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Watched Asker::watched() const {
  const std::lock_guard lock(mutex_);
  Watched made = watched_;
  made.endpoint = endpoint_;
  made.given = given_;
  return made;
}

void Asker::run(const std::stop_token& stop) {
  for (uint64_t round = pace_.round(); !stop.stop_requested();
       round = std::max(round + 1, pace_.round())) {
    {
      std::unique_lock lock(mutex_);
      due_.wait_until(lock, stop, pace_.begun + pace_.due(round), [] { return false; });
    }
    if (stop.stop_requested()) break;
    Sample sample = ask(stop);
    const std::lock_guard lock(mutex_);
    watched_.before = std::move(watched_.now);
    watched_.now = std::move(sample);
    watched_.members = members_;
    watched_.rounds = round + 1;
  }
  ended_ = true;
}

bool Asker::connect(Sample& sample) {
  client_.reset();
  auto connected = session_.connect(endpoint_, kBriefPatience);
  if (connected) {
    client_ = std::move(*connected);
    return true;
  }
  sample.facts.problem = connected.error().text;
  return false;
}

Answer Asker::call(std::string_view path, Duration patience, const std::stop_token& stop) {
  const uint64_t number = client_->submit(path, "", patience);
  const auto end = Pace::Clock::now() + patience;
  while (!stop.stop_requested() && Pace::Clock::now() < end) {
    const Duration left = end - Pace::Clock::now();
    for (front::grpc::Finished& done : client_->wait(std::min<Duration>(left, kSlice))) {
      if (done.call == number) return std::move(done.answer);
    }
  }
  return {Fate::lost, 0, "no answer in time", {}};
}

Sample Asker::ask(const std::stop_token& stop) {
  Sample sample;
  sample.facts.endpoint = endpoint_;
  Answer answer;
  const auto end = Pace::Clock::now() + common_.timeout;
  while (true) {
    const bool fresh = !client_ || !client_->usable();
    const bool connected = !fresh || connect(sample);
    const auto begun = Pace::Clock::now();
    if (connected) answer = call(kPathStatus, common_.timeout, stop);
    sample.at = pace_.elapsed();
    sample.facts.latency = Pace::Clock::now() - begun;
    if (!connected) return sample;
    if (answer.fate == Fate::answered) break;
    client_.reset();
    sample.facts.problem = answer.message;
    // A connection that was idle may be one to a process that is no more, and there a new one.
    if (fresh || Pace::Clock::now() >= end || stop.stop_requested()) return sample;
  }
  sample.facts.answered = answer.status == 0 && doctor::read_status(answer.body, sample.facts);
  if (!sample.facts.answered) {
    sample.facts.problem = answer.status == 0 ? "does not speak etcd's protocol" : answer.message;
    client_.reset();
    session_ = Session(common_);  // its token may have become too old
    return sample;
  }
  sample.facts.problem.clear();
  ask_members(stop);
  ask_counters(sample);
  return sample;
}

// From its own state, without the others.
void Asker::ask_members(const std::stop_token& stop) {
  const Answer answer = call(kPathMemberList, kBriefPatience, stop);
  if (answer.fate != Fate::answered) client_.reset();
  if (answer.fate != Fate::answered || answer.status != 0) return;
  if (auto list = doctor::read_members(answer.body)) members_ = std::move(*list);
}

void Asker::ask_counters(Sample& sample) const {
  // The plain page only; what is behind TLS goes without.
  if (endpoint_.starts_with(front::grpc::kSecureScheme)) return;
  const auto page = doctor::get_page(endpoint_, "/metrics", kBriefPatience);
  sample.counted_at = pace_.elapsed();
  if (page) sample.counters = counters_in(*page);
}

Askers::Askers(const Common& common, Pace pace) : common_(common), pace_(pace) {
  for (const std::string& endpoint : common.endpoints) add(endpoint, true);
}

void Askers::add(const std::string& endpoint, bool given) {
  const bool there = std::ranges::any_of(
      askers_, [&](const auto& asker) { return asker->endpoint() == endpoint; });
  if (there || askers_.size() >= kAskersMax) return;
  askers_.push_back(std::make_unique<Asker>(common_, endpoint, given, pace_));
}

std::vector<Watched> Askers::tend() {
  std::vector<Watched> watched;
  std::erase_if(askers_, [](const auto& asker) { return asker->ended(); });
  for (const auto& asker : askers_) watched.push_back(asker->watched());
  const std::vector<doctor::MemberFacts>& list = newest_list(watched);
  if (list.empty()) return watched;
  for (const auto& asker : askers_) {
    const bool needed = std::ranges::any_of(list, [&](const doctor::MemberFacts& member) {
      return publishes(member, asker->endpoint());
    });
    if (!asker->given() && !needed) asker->retire();
  }
  const size_t known = askers_.size();
  for (const doctor::MemberFacts& member : list) {
    const bool asked = std::ranges::any_of(watched, [&](const Watched& each) {
      return publishes(member, each.endpoint) ||
             (each.now.facts.answered && each.now.facts.id == member.id) ||
             (each.before.facts.answered && each.before.facts.id == member.id);
    });
    if (asked || member.client_urls.empty()) continue;
    if (const auto address = endpoint_address(member.client_urls.front())) add(*address, false);
  }
  // `list` is in `watched`, which grows only now.
  for (size_t at = known; at < askers_.size(); ++at) watched.push_back(askers_[at]->watched());
  return watched;
}

}  // namespace quorate::app::top
