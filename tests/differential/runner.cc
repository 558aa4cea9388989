#include "runner.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <thread>

#include "known_differences.h"

namespace quorate::differential {

using etcdserverpb::PutRequest;
using etcdserverpb::WatchRequest;
using google::protobuf::util::MessageDifferencer;

namespace {

constexpr size_t kShownBytes = 60;
constexpr auto kExpiryPatience = std::chrono::seconds(60);
constexpr auto kExpiryLookInterval = std::chrono::milliseconds(50);
// Short leases last three seconds. Whoever needs this long to get to waiting for them cannot say
// any more what they should have found alive.
constexpr auto kShortLeaseUse = std::chrono::seconds(2);
constexpr auto kSettlePatience = std::chrono::seconds(5);
constexpr auto kSettleLookInterval = std::chrono::milliseconds(20);
constexpr std::string_view kMarkerKey = "zz-marker";

// Bytes that can be read are a request like any other.
std::shared_ptr<const Message> request_of(const Operation& operation) {
  if (operation.request) return operation.request;
  std::shared_ptr<Message> request(method_of_path(operation.name)->request->New());
  request->ParsePartialFromString(operation.bytes);
  return request;
}

std::string shown(const Answer& answer) {
  if (!answer.answered) return "no answer";
  std::string text = "status " + std::to_string(answer.status);
  if (!answer.text.empty()) text += " \"" + answer.text.substr(0, 200) + "\"";
  if (answer.response) text += " " + to_text(*answer.response, kShownBytes);
  return text;
}

int64_t revision_of(const Message& response) {
  const auto* field = response.GetDescriptor()->FindFieldByName("header");
  if (field == nullptr) return 0;
  const Message& header = response.GetReflection()->GetMessage(response, field);
  return static_cast<const etcdserverpb::ResponseHeader&>(header).revision();
}

template <class Type>
Operation call(std::string_view name, Type request) {
  return make_call(name, std::make_shared<Type>(std::move(request)));
}

}  // namespace

std::optional<Mismatch> Runner::run(const Operation& operation) {
  switch (operation.kind) {
    case Kind::call:
    case Kind::raw:
      return run_call(operation);
    case Kind::watch:
      return run_watch(operation);
    case Kind::expire:
      return wait_expired();
    case Kind::lose_leader:
      return lose_leader();
  }
  return std::nullopt;
}

std::optional<Mismatch> Runner::run_call(const Operation& operation) {
  // A watcher that has not caught up when its revisions go would be cancelled on one side only.
  if (operation.name == "KV/Compact") {
    if (auto mismatch = settle()) return mismatch;
  }
  const auto* grant = dynamic_cast<const etcdserverpb::LeaseGrantRequest*>(operation.request.get());
  if (grant != nullptr && !is_long_lease(grant->id()) && !short_since_) {
    short_since_ = std::chrono::steady_clock::now();
  }
  Answer theirs = theirs_.call(operation);
  Answer ours = ours_.call(operation);
  const auto end = std::chrono::steady_clock::now() + kSettlePatience;
  while (theirs.response && ours.response &&
         settles_late(operation, *theirs.response, *ours.response) &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kSettleLookInterval);
    theirs = theirs_.call(operation);
    ++counts_.asked_again;
  }
  return compare(operation, std::move(theirs), std::move(ours));
}

std::optional<Mismatch> Runner::compare(const Operation& operation, Answer theirs, Answer ours) {
  if (operation.name == "Maintenance/Alarm") ++counts_.alarms;
  ++(theirs.status == 0 ? counts_.accepted : counts_.refused);
  theirs.text = normalize_error(theirs.text);
  ours.text = normalize_error(ours.text);
  learn(operation, theirs);
  bool same = theirs.answered && ours.answered && theirs.status == ours.status &&
              theirs.text == ours.text && !theirs.response == !ours.response;
  if (same && theirs.response) {
    const std::shared_ptr<const Message> request = request_of(operation);
    normalize(*request, *theirs.response);
    normalize(*request, *ours.response);
    align_times(*theirs.response, *ours.response);
    same = MessageDifferencer::Equals(*theirs.response, *ours.response);
  }
  if (same || answered_otherwise(operation, view_.compacted)) return std::nullopt;
  std::string reason;
  if (!theirs.answered) reason = "\n" + theirs_.cluster().last_words(theirs_.member());
  if (!ours.answered) reason = "\n" + ours_.cluster().last_words(ours_.member());
  return Mismatch{operation.name, shown(theirs), shown(ours) + reason};
}

void Runner::learn(const Operation& operation, const Answer& answer) {
  if (!answer.response) return;
  view_.current = std::max(view_.current, revision_of(*answer.response));
  const auto* compact =
      dynamic_cast<const etcdserverpb::CompactionRequest*>(operation.request.get());
  if (compact == nullptr) return;
  ++counts_.compactions;
  view_.compacted = std::max(view_.compacted, compact->revision());
}

std::optional<Mismatch> Runner::put_everywhere(std::string_view key, const std::string& value) {
  PutRequest put;
  put.set_key(std::string(key));
  put.set_value(value);
  return run_call(call("KV/Put", put));
}

std::optional<Mismatch> Runner::compare_contents() {
  etcdserverpb::RangeRequest all;
  all.set_key(std::string("\0", 1));
  all.set_range_end(std::string("\0", 1));
  return run_call(call("KV/Range", all));
}

std::optional<Mismatch> Runner::compact_all() {
  etcdserverpb::CompactionRequest compact;
  compact.set_revision(view_.current);
  compact.set_physical(true);
  return run_call(call("KV/Compact", compact));
}

std::optional<Mismatch> Runner::finish() {
  if (auto mismatch = settle()) return mismatch;
  if (auto mismatch = compare_contents()) return mismatch;
  return run_call(call("Maintenance/HashKV", etcdserverpb::HashKVRequest()));
}

// ---- Leases that end.

bool Runner::short_leases_left(Side& side) {
  const Answer answer = side.call("Lease/LeaseLeases", etcdserverpb::LeaseLeasesRequest());
  if (!answer.response) return true;
  const auto& response = static_cast<const etcdserverpb::LeaseLeasesResponse&>(*answer.response);
  return !std::ranges::all_of(response.leases(),
                              [](const auto& lease) { return is_long_lease(lease.id()); });
}

// Two leases may end in either order, which decides the order of events and which revision is
// whose. What is left in the end is the same. The revisions in between are compacted away then.
std::optional<Mismatch> Runner::wait_expired() {
  if (auto mismatch = settle()) return mismatch;
  const auto now = std::chrono::steady_clock::now();
  if (short_since_ && now - *short_since_ > kShortLeaseUse) {
    stalled_ = true;
    return std::nullopt;
  }
  short_since_.reset();
  for (Side* side : {&theirs_, &ours_}) {
    while (short_leases_left(*side)) {
      if (std::chrono::steady_clock::now() - now > kExpiryPatience) {
        return Mismatch{"expiry", side == &theirs_ ? "leases do not end" : "",
                        side == &ours_ ? "leases do not end" : ""};
      }
      std::this_thread::sleep_for(kExpiryLookInterval);
    }
  }
  ++counts_.leases_ended;
  if (auto mismatch = compare_contents())
    return Mismatch{"expiry", mismatch->theirs, mismatch->ours};
  if (auto mismatch = settle(Order::any)) return mismatch;
  return compact_all();
}

// ---- Leaders that die.

std::string Runner::lose_leader_of(Side& side, const PutRequest& marker) {
  const std::optional<size_t> lost = side.leader();
  if (!lost) return "nobody leads";
  const int32_t put = side.begin("KV/Put", marker);
  // Some puts are in the log by now, some are not.
  std::this_thread::sleep_for(std::chrono::microseconds(counts_.leaders_lost % 5 * 400));
  side.cluster().kill(*lost);
  side.wait_end(put);  // a follower may still make it
  const std::string trouble = side.connect(*lost);
  side.cluster().start(*lost);
  if (!trouble.empty()) return trouble;
  etcdserverpb::RangeRequest read;
  read.set_key(marker.key());
  const Answer answer = side.call("KV/Range", read);
  if (!answer.response) return "a read fails: " + answer.text;
  const auto& found = static_cast<const etcdserverpb::RangeResponse&>(*answer.response);
  if (found.kvs_size() > 0 && found.kvs(0).value() == marker.value()) return "";
  const Answer again = side.call("KV/Put", marker);  // now it surely is
  return again.status == 0 ? "" : "a put fails: " + again.text;
}

std::optional<Mismatch> Runner::lose_leader() {
  if (auto mismatch = settle()) return mismatch;
  if (auto mismatch = compare_contents()) return mismatch;
  ++counts_.leaders_lost;
  PutRequest marker;
  marker.set_key(std::string(kMarkerKey));
  marker.set_value("loss " + std::to_string(counts_.leaders_lost));
  const std::string theirs = lose_leader_of(theirs_, marker);
  const std::string ours = lose_leader_of(ours_, marker);
  if (!theirs.empty() || !ours.empty()) return Mismatch{"after a lost leader", theirs, ours};
  for (auto& watchers : view_.watchers) watchers.clear();
  started_.clear();
  late_.clear();
  lost_ids_.clear();
  return compare_contents();
}

}  // namespace quorate::differential
