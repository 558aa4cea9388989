#include "app/etcdctl/turn.h"

#include <algorithm>

#include "app/etcdctl/go_text.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/etcdctl/watch_request.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

namespace etcd = machine::etcd;

int64_t revision_of(const Message& response) {
  const Message* header = response.message("header");
  return header == nullptr ? 0 : header->integer("revision");
}

}  // namespace

Turn::Turn(const Common& common, Interruption& interruption)
    : session_(common), renewals_(common), interruption_(interruption) {}

std::optional<int> Turn::grant(int64_t seconds) {
  std::string request;
  protobuf::write_number(1, seconds, request);
  const Response response = session_.write(kPathLeaseGrant, request);
  if (response.verdict != Verdict::done) return report(response, true);
  const auto granted = Message::decode(kLeaseGrantShape, response.body);
  if (!granted) return undecodable();
  lease_ = granted->integer("ID");
  keeper_.emplace(renewals_, lease_);
  keeper_->granted(granted->integer("TTL"));
  return std::nullopt;
}

// Creates the key unless it is there already: then an earlier answer got lost, and it is ours,
// since nobody else has this lease.
std::optional<int> Turn::enter(const std::string& value) {
  etcd::TxnRequest request;
  etcd::Compare absent;
  absent.target = static_cast<int32_t>(etcd::Compare::Target::create);
  absent.key = key_;
  request.compare.push_back(absent);
  etcd::PutRequest put;
  put.key = key_;
  put.value = value;
  put.lease = lease_;
  request.success.push_back({put});
  etcd::RangeRequest get;
  get.key = key_;
  request.failure.push_back({get});
  std::string wire;
  etcd::encode(request, wire);
  Response response = session_.write(kPathTxn, wire);
  // Safe to say twice: the comparison sees to it that the key is created once.
  if (response.verdict == Verdict::unknown) response = session_.write(kPathTxn, wire);
  if (response.verdict != Verdict::done) return report(response, true);
  const auto done = Message::decode(kTxnShape, response.body);
  if (!done) return undecodable();
  revision_ = revision_of(*done);
  if (done->flag("succeeded")) return std::nullopt;
  for (const Message& each : done->messages("responses")) {
    const Message* range = each.message("ResponseRange");
    if (range == nullptr || range->messages("kvs").empty()) continue;
    revision_ = range->messages("kvs").front().integer("create_revision");
  }
  return std::nullopt;
}

std::optional<int> Turn::await_end(const std::string& key, int64_t since) {
  auto stream =
      session_.open(kPathWatch, encode(WatchRequest{.key = key, .end = {}, .start = since}));
  if (!stream) {
    complain(stream.error().text);
    return kExitUnavailable;
  }
  while (true) {
    if (interruption_.happened()) return kExitRefused;
    if (!hold({})) return kExitUnavailable;
    const auto until = keeper_->due() - std::chrono::steady_clock::now();
    const Stream::Event event = (*stream)->next(
        std::clamp<Duration>(until, std::chrono::milliseconds(1), std::chrono::seconds(1)),
        interruption_.descriptors());
    if (event.kind == Stream::Event::Kind::nothing) continue;
    if (event.kind == Stream::Event::Kind::ended) {
      session_.move_on();
      return std::nullopt;  // look again
    }
    const auto response = Message::decode(kWatchShape, event.message);
    if (!response) return undecodable();
    if (response->flag("canceled")) return std::nullopt;
    for (const Message& each : response->messages("events")) {
      if (each.number("type") == 1) return std::nullopt;
    }
  }
}

std::optional<int> Turn::await_turn(const std::string& prefix) {
  const KeyRange range = key_range(prefix, "", true, false);
  while (true) {
    etcd::RangeRequest request;
    request.key = range.key;
    request.range_end = range.end;
    request.limit = 1;
    request.sort_order = static_cast<int32_t>(etcd::SortOrder::descend);
    request.sort_target = static_cast<int32_t>(etcd::SortTarget::create);
    request.max_create_revision = revision_ - 1;
    std::string wire;
    etcd::encode(request, wire);
    const Response response = session_.read(kPathRange, wire);
    if (response.verdict != Verdict::done) return report(response, false);
    const auto before = Message::decode(kRangeShape, response.body);
    if (!before) return undecodable();
    if (before->messages("kvs").empty()) return std::nullopt;
    const std::string key = before->messages("kvs").front().text("key");
    if (auto code = await_end(key, revision_of(*before) + 1)) return code;
  }
}

std::optional<int> Turn::take(const std::string& name, const std::string& value, int64_t seconds) {
  if (auto code = grant(seconds)) return code;
  key_ = name + "/" + hex(static_cast<uint64_t>(lease_));
  auto code = enter(value);
  if (!code) code = await_turn(name + "/");
  if (code) release();
  return code;
}

bool Turn::hold(Duration patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!interruption_.happened()) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= end && now < keeper_->due()) return true;
    const Keeper::News news =
        keeper_->wait(std::max<Duration>(end - now, {}), interruption_.descriptors());
    const bool gone = news.answer && news.answer->integer("TTL") <= 0;
    if (!gone && !news.problem) {
      if (std::chrono::steady_clock::now() >= end) return true;
      continue;
    }
    complain("lost " + key_ + ": " + (gone ? "its lease is gone" : *news.problem));
    return false;
  }
  return true;
}

void Turn::release() {
  std::string request;
  protobuf::write_number(1, lease_, request);
  const Response response = session_.write(kPathLeaseRevoke, request);
  if (response.verdict == Verdict::done || response.verdict == Verdict::refused) return;
  complain("cannot release " + key_ + " now; it ends with its lease: " + response.text);
}

}  // namespace quorate::app::etcdctl
