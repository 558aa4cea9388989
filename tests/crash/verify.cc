// The plainest check of a history: what was acknowledged must be there.
//
// Each acknowledged write is read back from every member's own state, as of its revision, and
// the rows of all members are compared. It needs no model, so it also checks the checkers.
#include <cstdio>
#include <deque>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "check/history_text.h"
#include "front/grpc/client.h"
#include "load.h"
#include "machine/etcd/messages.h"

namespace quorate::crash {
namespace {

namespace etcd = machine::etcd;

constexpr std::string_view kRange = "/etcdserverpb.KV/Range";
constexpr auto kPatience = std::chrono::seconds(15);
constexpr auto kPause = std::chrono::milliseconds(50);
constexpr size_t kUnderWayMax = 64;
constexpr size_t kShownMax = 10;

struct Written {
  std::string key;
  int64_t revision = 0;
  std::optional<std::string> value;  // none: deleted
};

std::vector<Written> acknowledged(const check::History& history) {
  std::vector<Written> list;
  for (const check::Operation& operation : history.operations()) {
    if (operation.outcome != check::Outcome::ok || operation.revision <= 0) continue;
    for (const check::Step& step : history.taken(operation)) {
      Written written;
      written.key = history.text(step.key);
      written.revision = operation.revision;
      if (step.verb == check::Verb::put) {
        written.value = std::string(history.text(step.value));
      } else if (step.verb != check::Verb::erase || step.count == 0) {
        continue;
      }
      list.push_back(std::move(written));
    }
  }
  return list;
}

class Member {
 public:
  explicit Member(std::string address) : address_(std::move(address)) {}

  bool connect() {
    const auto end = Clock::now() + kPatience;
    while (Clock::now() < end) {
      auto made = front::grpc::connect(address_, kPatience);
      if (made) {
        client_ = std::move(*made);
        return true;
      }
      std::this_thread::sleep_for(kPause);
    }
    std::printf("%s: nobody answers\n", address_.c_str());
    return false;
  }

  // The number of writes that are not there.
  size_t look_for(const std::vector<Written>& list) {
    size_t missing = 0;
    std::map<uint64_t, const Written*> under_way;
    size_t next = 0;
    while (next < list.size() || !under_way.empty()) {
      while (next < list.size() && under_way.size() < kUnderWayMax) {
        const Written& written = list[next++];
        etcd::RangeRequest request;
        request.key = written.key;
        request.revision = written.revision;
        request.serializable = true;
        std::string wire;
        etcd::encode(request, wire);
        under_way[client_->submit(kRange, wire, kPatience)] = &written;
      }
      for (const auto& finished : client_->wait(kPatience)) {
        const auto at = under_way.find(finished.call);
        if (at == under_way.end()) continue;
        if (!holds(*at->second, finished.answer) && missing++ < kShownMax) {
          std::printf(
              "%s: the write of %s at revision %ld was acknowledged and is not there%s\n",
              address_.c_str(), at->second->key.c_str(), static_cast<long>(at->second->revision),
              finished.answer.message.empty() ? ""
                                              : (" (" + finished.answer.message + ")").c_str());
        }
        under_way.erase(at);
      }
    }
    return missing;
  }

  // Every row, from the member's own state; nothing if it does not answer.
  std::optional<std::string> rows(int64_t& revision) {
    etcd::RangeRequest request;
    request.key = std::string_view("\0", 1);
    request.range_end = std::string_view("\0", 1);
    request.serializable = true;
    std::string wire;
    etcd::encode(request, wire);
    auto answer = client_->call(kRange, wire, kPatience);
    const auto response = etcd::decode_range_response(answer.body);
    if (answer.fate != front::grpc::Fate::answered || answer.status != 0 || !response) {
      return std::nullopt;
    }
    revision = response->header.revision;
    std::string all;
    for (const etcd::KeyValue& pair : response->kvs) etcd::encode(pair, all);
    return all;
  }

  const std::string& address() const { return address_; }

 private:
  static bool holds(const Written& written, const front::grpc::Answer& answer) {
    if (answer.fate != front::grpc::Fate::answered || answer.status != 0) return false;
    const auto response = etcd::decode_range_response(answer.body);
    if (!response) return false;
    if (!written.value) return response->kvs.empty();
    return response->kvs.size() == 1 && response->kvs.front().value == *written.value &&
           response->kvs.front().mod_revision == written.revision;
  }

  std::string address_;
  std::unique_ptr<front::grpc::Client> client_;
};

// Members that lag get the time to catch up: nobody writes any more.
bool equal_rows(std::deque<Member>& members) {
  const auto end = Clock::now() + kPatience;
  std::string difference;
  while (Clock::now() < end) {
    difference.clear();
    int64_t first_revision = 0;
    const auto first = members.front().rows(first_revision);
    for (Member& member : members) {
      int64_t revision = 0;
      const auto rows = member.rows(revision);
      if (first && rows == first && revision == first_revision) continue;
      difference = member.address() + " at revision " + std::to_string(revision) +
                   " differs from " + members.front().address() + " at revision " +
                   std::to_string(first_revision);
    }
    if (difference.empty()) {
      std::printf("all members are equal at revision %ld\n", static_cast<long>(first_revision));
      return true;
    }
    std::this_thread::sleep_for(kPause);
  }
  std::printf("%s\n", difference.c_str());
  return false;
}

}  // namespace

int verify_history(const std::vector<std::string>& endpoints, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  const auto history = check::read_history(content.str());
  if (!history) {
    std::printf("%s: %s\n", path.c_str(), history.error().text.c_str());
    return 2;
  }
  const std::vector<Written> list = acknowledged(*history);
  std::deque<Member> members;
  for (const std::string& endpoint : endpoints) {
    if (!members.emplace_back(endpoint).connect()) return 1;
  }
  bool good = equal_rows(members);
  size_t missing = 0;
  for (Member& member : members) missing += member.look_for(list);
  good = good && missing == 0;
  std::printf("%zu acknowledged writes, %zu missing\n", list.size(), missing);
  return good ? 0 : 1;
}

}  // namespace quorate::crash
