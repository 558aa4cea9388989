// make-mirror: what one cluster has and gets, copied to another one for as long as it runs.
//
// First everything at one revision, page by page, then the changes behind it from a watch: each
// revision is one transaction at the destination, so a mirror never shows half of one (unless it
// has more operations than a transaction may). Copying is repeatable: what may or may not have
// arrived is written again.
#include <chrono>
#include <iostream>
#include <set>

#include "app/etcdctl/commands.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/etcdctl/watch_request.h"
#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "app/urls.h"
#include "machine/etcd/messages.h"

namespace quorate::app::etcdctl {
namespace {

namespace etcd = machine::etcd;
using Clock = std::chrono::steady_clock;

constexpr int64_t kPageKeys = 1000;  // a page stays far below an answer's largest size
constexpr auto kReportEvery = std::chrono::seconds(30);
constexpr int kTriesMax = 10;  // of one transaction; each is as patient as --command-timeout

class Mirror {
 public:
  Mirror(const Common& source, const Common& destination, const MirrorOptions& options)
      : options_(options),
        range_(key_range(options.prefix, "", true, false)),
        source_(source),
        destination_(destination) {}
  int run();

 private:
  std::optional<int> copy_all();
  std::optional<int> follow();
  std::optional<int> take(const Message& response);
  std::optional<int> apply(std::vector<const Message*> events);
  std::optional<int> write(const etcd::TxnRequest& request);
  std::string mapped(const std::string& key) const;
  void say_total();

  const MirrorOptions& options_;
  KeyRange range_;
  Session source_;
  Session destination_;
  Interruption interruption_;
  int64_t next_ = 0;  // revision to follow from
  uint64_t total_ = 0;
  Clock::time_point reported_ = Clock::now();
};

std::string Mirror::mapped(const std::string& key) const {
  if (options_.prefix.empty() && options_.destination_prefix.empty()) return key;
  const std::string& front = options_.no_destination_prefix || !options_.destination_prefix.empty()
                                 ? options_.destination_prefix
                                 : options_.prefix;
  return front + key.substr(options_.prefix.size());
}

void Mirror::say_total() {
  if (Clock::now() - reported_ < kReportEvery) return;
  reported_ = Clock::now();
  std::cout << total_ << '\n' << std::flush;
}

std::optional<int> Mirror::write(const etcd::TxnRequest& request) {
  std::string wire;
  etcd::encode(request, wire);
  Response response;
  for (int tries = 0; tries < kTriesMax && !interruption_.happened(); ++tries) {
    response = destination_.write(kPathTxn, wire);
    if (response.verdict == Verdict::done) {
      total_ += request.success.size();
      say_total();
      return std::nullopt;
    }
    if (response.verdict == Verdict::refused) break;
  }
  complain("destination: " + response.text);
  return exit_code(response.verdict);
}

std::optional<int> Mirror::copy_all() {
  std::string from = range_.key;
  while (!interruption_.happened()) {
    etcd::RangeRequest request;
    request.key = from;
    request.range_end = range_.end;
    request.limit = kPageKeys;
    request.revision = next_ == 0 ? 0 : next_ - 1;
    std::string wire;
    etcd::encode(request, wire);
    const Response response = source_.read(kPathRange, wire);
    if (response.verdict != Verdict::done) {
      complain("source: " + response.text);
      return exit_code(response.verdict);
    }
    const auto page = Message::decode(kRangeShape, response.body);
    if (!page) return undecodable();
    const Message* header = page->message("header");
    if (next_ == 0 && header != nullptr) next_ = header->integer("revision") + 1;
    const auto& pairs = page->messages("kvs");
    for (size_t at = 0; at < pairs.size();) {
      std::vector<std::string> keys;
      const size_t stop = std::min(pairs.size(), at + options_.operations_max);
      keys.reserve(stop - at);
      etcd::TxnRequest copy;
      for (; at < stop; ++at) {
        etcd::PutRequest put;
        put.key = keys.emplace_back(mapped(pairs[at].text("key")));
        put.value = pairs[at].text("value");
        copy.success.push_back({put});
      }
      if (auto code = write(copy)) return code;
    }
    if (!page->flag("more") || pairs.empty()) return std::nullopt;
    from = pairs.back().text("key") + std::string(1, '\0');
  }
  return kExitOk;
}

std::optional<int> Mirror::apply(std::vector<const Message*> events) {
  for (size_t at = 0; at < events.size();) {
    const size_t stop = std::min(events.size(), at + options_.operations_max);
    std::vector<std::string> keys;
    keys.reserve(stop - at);
    etcd::TxnRequest copy;
    for (; at < stop; ++at) {
      const Message& pair = *events[at]->message("kv");
      keys.push_back(mapped(pair.text("key")));
      if (events[at]->number("type") == 1) {
        etcd::DeleteRangeRequest erase;
        erase.key = keys.back();
        copy.success.push_back({erase});
      } else {
        etcd::PutRequest put;
        put.key = keys.back();
        put.value = pair.text("value");
        copy.success.push_back({put});
      }
    }
    if (auto code = write(copy)) return code;
  }
  return std::nullopt;
}

// One transaction for each revision; a fragment may end inside one, the next goes on with it.
std::optional<int> Mirror::take(const Message& response) {
  std::vector<const Message*> same;
  int64_t revision = 0;
  for (const Message& event : response.messages("events")) {
    const Message* pair = event.message("kv");
    if (pair == nullptr) continue;
    if (!same.empty() && pair->integer("mod_revision") != revision) {
      if (auto code = apply(std::exchange(same, {}))) return code;
      next_ = revision + 1;
    }
    revision = pair->integer("mod_revision");
    same.push_back(&event);
  }
  if (same.empty()) return std::nullopt;
  if (auto code = apply(same)) return code;
  next_ = revision + 1;
  return std::nullopt;
}

std::optional<int> Mirror::follow() {
  auto stream = source_.open(
      kPathWatch, encode(WatchRequest{.key = range_.key, .end = range_.end, .start = next_}));
  if (!stream) {
    complain("source: " + stream.error().text);
    return kExitUnavailable;
  }
  while (!interruption_.happened()) {
    const Stream::Event event = (*stream)->next(kReportEvery, interruption_.descriptors());
    say_total();
    if (event.kind == Stream::Event::Kind::nothing) continue;
    if (event.kind == Stream::Event::Kind::ended) {
      if (judge_read(event.answer) == Verdict::refused) {
        complain("source: " + event.answer.message);
        return kExitRefused;
      }
      source_.move_on();
      return std::nullopt;
    }
    const auto response = Message::decode(kWatchShape, event.message);
    if (!response) return undecodable();
    if (response->flag("canceled")) {
      complain("the source has forgotten revision " + std::to_string(next_) +
               " (compacted) before it was copied; start again, with an empty destination");
      return kExitRefused;
    }
    if (auto code = take(*response)) return code;
  }
  return kExitOk;
}

int Mirror::run() {
  next_ = options_.revision;
  if (options_.revision == 0) {
    if (auto code = copy_all()) return *code;
  }
  while (true) {
    if (auto code = follow()) return *code;
  }
}

}  // namespace

int run_mirror(const Common& common, const MirrorOptions& options) {
  if (options.no_destination_prefix && !options.destination_prefix.empty()) {
    complain("--dest-prefix and --no-dest-prefix say different things; give one of them");
    return kExitUsage;
  }
  Common destination = common;
  destination.endpoints.clear();
  destination.user.clear();  // the source's name is nobody there
  for (const std::string& each : split(options.destination, ',')) {
    const auto address = endpoint_address(each);
    if (!address) {
      complain(address.error().text);
      return kExitUsage;
    }
    destination.endpoints.push_back(*address);
  }
  return Mirror(common, destination, options).run();
}

}  // namespace quorate::app::etcdctl
