// The watches of a run: made, cancelled, waited for, compared.
#include <algorithm>
#include <regex>

#include "known_differences.h"
#include "runner.h"

namespace quorate::differential {

using etcdserverpb::WatchRequest;

namespace {

// Far above what a run asks for or a server chooses.
constexpr int64_t kSentinelWatch = int64_t{1} << 40U;
constexpr auto kPumpInterval = std::chrono::milliseconds(2);
constexpr size_t kShownLines = 4;
constexpr size_t kShownBytes = 300;

WatchRequest sentinel_request(int64_t id, int64_t start) {
  WatchRequest request;
  auto& create = *request.mutable_create_request();
  create.set_key(std::string(kSentinelKey));
  create.set_watch_id(id);
  create.set_start_revision(start);
  return request;
}

std::string about(const std::vector<std::string>& lines, size_t from) {
  std::string text = std::to_string(lines.size()) + " lines";
  for (size_t at = from; at < std::min(lines.size(), from + kShownLines); ++at) {
    text += "\n      [" + std::to_string(at) + "] " + lines[at].substr(0, kShownBytes);
  }
  return text;
}

// Which revision was whose is left to chance.
std::vector<std::string> without_order(const std::vector<std::string>& lines) {
  static const std::regex revision("mod_revision: \\d+");
  std::vector<std::string> sorted;
  for (const std::string& line : lines) {
    sorted.push_back(std::regex_replace(line, revision, "mod_revision: any"));
  }
  std::ranges::sort(sorted);
  return sorted;
}

using Lines = std::map<int64_t, std::vector<std::string>>;

Lines to_compare(Lines lines, int64_t compacted, bool any_order) {
  for (auto& [id, each] : lines) {
    std::erase_if(each, [&](const auto& line) { return forgotten_deletion(line, compacted); });
    if (any_order) each = without_order(each);
  }
  std::erase_if(lines, [](const auto& entry) { return entry.second.empty(); });
  return lines;
}

}  // namespace

template <class Condition>
bool Runner::wait_until(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + patience_;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    theirs_.pump(kPumpInterval);
    ours_.pump(kPumpInterval);
  }
  return true;
}

// etcd does not free the id of a watcher that it cancelled itself because of a compaction: it is
// taken for ever, and a cancellation is answered once more. No operation uses one again.
bool Runner::uses_lost_id(size_t number, const WatchRequest& request) const {
  const auto lost = lost_ids_.find(number);
  const auto is_lost = [&](int64_t id) {
    return lost != lost_ids_.end() && lost->second.contains(id);
  };
  if (request.has_cancel_request()) return is_lost(request.cancel_request().watch_id());
  const auto& create = request.create_request();
  const int64_t start = create.start_revision();
  const bool will_be_lost = start > 0 && start < view_.compacted;
  return create.watch_id() != 0 && (will_be_lost || is_lost(create.watch_id()));
}

std::optional<Mismatch> Runner::run_watch(const Operation& operation) {
  const auto& request = static_cast<const WatchRequest&>(*operation.request);
  // Whether an id in use was lost meanwhile shows when everything has settled.
  const auto& used = started_[operation.stream];
  if (request.has_create_request() && used.contains(request.create_request().watch_id())) {
    if (auto mismatch = settle()) return mismatch;
  }
  if (uses_lost_id(operation.stream, request)) return std::nullopt;
  if (auto mismatch = open_stream(operation.stream)) return mismatch;
  switch (request.request_union_case()) {
    case WatchRequest::kCreateRequest:
      return create_watcher(operation.stream, request);
    case WatchRequest::kCancelRequest:
      return cancel_watcher(operation.stream, request.cancel_request().watch_id());
    case WatchRequest::kProgressRequest:
      return ask_progress(operation.stream);
    case WatchRequest::REQUEST_UNION_NOT_SET:
      break;
  }
  return std::nullopt;
}

std::optional<Mismatch> Runner::open_stream(size_t number) {
  if (theirs_.has_stream(number)) return std::nullopt;
  theirs_.stream(number);
  ours_.stream(number);
  return create_watcher(number, sentinel_request(kSentinelWatch, 0));
}

std::optional<Mismatch> Runner::create_watcher(size_t number, const WatchRequest& request) {
  const int64_t before = theirs_.stream(number).created;
  theirs_.send(number, request);
  ours_.send(number, request);
  const bool both = wait_until([&] {
    return theirs_.stream(number).created > before && ours_.stream(number).created > before;
  });
  if (!both) {
    return Mismatch{"watch creation",
                    std::to_string(theirs_.stream(number).created - before) + " answers",
                    std::to_string(ours_.stream(number).created - before) + " answers"};
  }
  const int64_t start = request.create_request().start_revision();
  for (const auto& [id, revision] : theirs_.stream(number).live) {
    if (id >= kSentinelWatch || started_[number].contains(id)) continue;
    ++counts_.watchers;
    started_[number][id] = start;
    if (start > 0 && start < view_.compacted) lost_ids_[number].insert(id);
    view_.watchers[number].insert(id);
  }
  if (start != 0 && start <= view_.current) late_[number] = true;
  return std::nullopt;
}

std::optional<Mismatch> Runner::cancel_watcher(size_t number, int64_t id) {
  // Events on their way to a watcher that is cancelled may come or not.
  if (auto mismatch = settle()) return mismatch;
  if (lost_ids_[number].contains(id)) return std::nullopt;  // since it settled
  const bool known = theirs_.stream(number).live.contains(id);
  const int64_t before = theirs_.stream(number).canceled;
  const int64_t before_ours = ours_.stream(number).canceled;
  WatchRequest request;
  request.mutable_cancel_request()->set_watch_id(id);
  theirs_.send(number, request);
  ours_.send(number, request);
  if (!known) return std::nullopt;  // silence on both sides, or what came differs later
  const bool both = wait_until([&] {
    return theirs_.stream(number).canceled > before && ours_.stream(number).canceled > before_ours;
  });
  if (!both) return Mismatch{"watch cancellation", "answers or not", "answers or not"};
  started_[number].erase(id);
  view_.watchers[number].erase(id);
  return compare_lines(number, Order::exact);
}

// Only once everything has settled: etcd 3.4 answers at once, with what it has or without. And
// only when no watcher begins in the future: then Quorate, as etcd since 3.4.25, does not answer.
std::optional<Mismatch> Runner::ask_progress(size_t number) {
  if (auto mismatch = settle()) return mismatch;
  for (const auto& [id, start] : started_[number]) {
    if (start > view_.current) return std::nullopt;
  }
  theirs_.stream(number).progress = ours_.stream(number).progress = 0;
  WatchRequest request;
  request.mutable_progress_request();
  theirs_.send(number, request);
  ours_.send(number, request);
  wait_until(
      [&] { return theirs_.stream(number).progress > 0 && ours_.stream(number).progress > 0; });
  const int64_t theirs = theirs_.stream(number).progress;
  const int64_t ours = ours_.stream(number).progress;
  if (theirs == ours) return std::nullopt;
  return Mismatch{"progress", std::to_string(theirs), std::to_string(ours)};
}

// ---- Settling.

std::optional<Mismatch> Runner::settle(Order order) {
  if (theirs_.streams().empty()) return std::nullopt;
  if (auto mismatch = put_everywhere(kSentinelKey, "")) return mismatch;
  const int64_t revision = view_.current;
  std::vector<size_t> numbers;
  for (const auto& [number, stream] : theirs_.streams()) numbers.push_back(number);
  for (const size_t number : numbers) {
    if (auto mismatch = wait_sentinel(number, revision)) return mismatch;
  }
  for (const size_t number : numbers) {
    if (auto mismatch = compare_lines(number, order)) return mismatch;
  }
  for (const size_t number : numbers) {
    std::erase_if(view_.watchers[number],
                  [&](int64_t id) { return !theirs_.stream(number).live.contains(id); });
    // Nobody asked for it, so a compaction overtook it before etcd had caught up.
    std::erase_if(started_[number], [&](const auto& entry) {
      if (theirs_.stream(number).live.contains(entry.first)) return false;
      lost_ids_[number].insert(entry.first);
      return true;
    });
  }
  return std::nullopt;
}

// A stream's events come in order, so behind the sentinel's event on a live watcher there are none
// of other live ones. Watchers that catch up are served in turn; one more behind them shows when
// they have been.
std::optional<Mismatch> Runner::wait_sentinel(size_t number, int64_t revision) {
  std::vector<int64_t> sentinels = {kSentinelWatch};
  if (late_[number]) {
    sentinels.push_back(kSentinelWatch + ++next_late_sentinel_);
    if (auto mismatch = create_watcher(number, sentinel_request(sentinels.back(), revision))) {
      return mismatch;
    }
  }
  const auto seen = [&](Side& side) {
    return std::ranges::all_of(
        sentinels, [&](int64_t id) { return side.stream(number).sentinel[id] >= revision; });
  };
  if (!wait_until([&] { return seen(theirs_) && seen(ours_); })) {
    return Mismatch{"watch stream " + std::to_string(number),
                    seen(theirs_) ? "all events" : "an event does not come",
                    seen(ours_) ? "all events" : "an event does not come"};
  }
  late_[number] = false;
  if (sentinels.size() == 1) return std::nullopt;
  WatchRequest cancel;
  cancel.mutable_cancel_request()->set_watch_id(sentinels.back());
  theirs_.send(number, cancel);
  ours_.send(number, cancel);
  wait_until([&] {
    return !theirs_.stream(number).live.contains(sentinels.back()) &&
           !ours_.stream(number).live.contains(sentinels.back());
  });
  return std::nullopt;
}

std::optional<Mismatch> Runner::compare_lines(size_t number, Order order) {
  const bool any = order == Order::any;
  const auto lines = [&](Side& side) {
    return to_compare(side.stream(number).lines, view_.compacted, any);
  };
  if (wait_until([&] { return lines(theirs_) == lines(ours_); })) {
    for (const auto& [id, each] : theirs_.stream(number).lines) counts_.events += each.size();
    // How often they are made depends on how much is sent at once; that both make them does not.
    counts_.fragments += std::min(theirs_.stream(number).fragments, ours_.stream(number).fragments);
    theirs_.stream(number).fragments = ours_.stream(number).fragments = 0;
    forget_lines(number);
    return std::nullopt;
  }
  auto theirs = lines(theirs_);
  auto ours = lines(ours_);
  for (const auto& [id, each] : ours) theirs[id];  // those that only one side knows, too
  for (const auto& [id, each] : theirs) {
    const std::vector<std::string>& other = ours[id];
    if (each == other) continue;
    const auto [left, right] = std::ranges::mismatch(each, other);
    const auto from = static_cast<size_t>(left - each.begin());
    return Mismatch{
        "watch events",
        "watcher " + std::to_string(number) + "/" + std::to_string(id) + ": " + about(each, from),
        about(other, from)};
  }
  return std::nullopt;
}

void Runner::forget_lines(size_t number) {
  for (Side* side : {&theirs_, &ours_}) {
    for (auto& [id, lines] : side->stream(number).lines) lines.clear();
  }
}

}  // namespace quorate::differential
