#include "check/history.h"

#include <string>
#include <utility>

#include "base/check.h"

namespace quorate::check {
namespace {

std::unexpected<Error> nonsense(std::string text) {
  return fail(ErrorKind::invalid, std::move(text));
}

Span span_from(size_t first, size_t end) {
  return {static_cast<uint32_t>(first), static_cast<uint32_t>(end - first)};
}

}  // namespace

Result<void> History::add(Time at, const Record& record) {
  if (places_ == kRecordsMax || items_.size() > kRecordsMax || steps_.size() > kRecordsMax) {
    return nonsense("more than " + std::to_string(kRecordsMax) + " records; cut the history");
  }
  if (places_ != 0 && at < now_) return nonsense("time goes backwards; sort the records by time");
  now_ = at;
  Result<void> taken = std::visit([this](const auto& each) { return take(each); }, record);
  ++places_;
  return taken;
}

void History::record(Time at, const Record& record) {
  CHECK(add(at, record).has_value(), "a recorder of ours wrote what no history can hold");
}

Item History::item_of(const Row& row, TextId asked) {
  return {.key = row.key.empty() ? asked : texts_.add(row.key),
          .value = row.value ? texts_.add(*row.value) : kNoText,
          .create = row.create,
          .mod = row.mod,
          .version = row.version,
          .lease = row.lease};
}

Result<void> History::take(const Start& record) {
  if (places_ != 0) return nonsense("start must be the first record");
  if (record.revision < 1) return nonsense("a store's revision is 1 or more");
  start_revision_ = record.revision;
  start_compacted_ = record.compacted;
  for (const Row& row : record.rows) items_.push_back(item_of(row, 0));
  start_ = span_from(0, items_.size());
  return {};
}

Span History::add_steps(const std::vector<Request>& requests) {
  const size_t first = steps_.size();
  for (const Request& request : requests) {
    Step step;
    step.verb = request.verb;
    step.serializable = request.serializable;
    step.keys_only = request.keys_only;
    step.count_only = request.count_only;
    step.previous = request.previous;
    step.ignore_value = request.ignore_value;
    step.ignore_lease = request.ignore_lease;
    step.key = texts_.add(request.key);
    step.end = texts_.add(request.end);
    step.value = texts_.add(request.value);
    step.lease = request.lease;
    step.revision = request.revision;
    step.limit = request.limit;
    step.ttl = request.ttl;
    steps_.push_back(step);
  }
  return span_from(first, steps_.size());
}

Result<void> History::take(const Invoked& record) {
  if (!record.what.transaction && record.what.then.size() != 1) {
    return nonsense("a call that is no transaction is exactly one request");
  }
  const auto [place, fresh] =
      open_calls_.emplace(record.call, static_cast<uint32_t>(operations_.size()));
  if (!fresh) return nonsense("call " + std::to_string(record.call) + " is still under way");
  Operation operation;
  operation.call = record.call;
  operation.process = record.process;
  operation.transaction = record.what.transaction;
  operation.invoked = places_;
  operation.invoked_at = now_;
  const size_t first = conditions_.size();
  for (const Condition& each : record.what.conditions) {
    conditions_.push_back({.target = each.target,
                           .relation = each.relation,
                           .key = texts_.add(each.key),
                           .value = texts_.add(each.value),
                           .number = each.number});
  }
  operation.conditions = span_from(first, conditions_.size());
  operation.then = add_steps(record.what.then);
  operation.otherwise = add_steps(record.what.otherwise);
  operations_.push_back(operation);
  return {};
}

Result<Operation*> History::open_call(uint64_t call) {
  const auto found = open_calls_.find(call);
  if (found == open_calls_.end()) {
    return nonsense("call " + std::to_string(call) + " is not under way");
  }
  Operation* operation = &operations_[found->second];
  open_calls_.erase(found);
  operation->returned_at = now_;
  return operation;
}

Result<void> History::take(const Answered& record) {
  const Result<Operation*> found = open_call(record.call);
  if (!found) return std::unexpected(found.error());
  Operation& operation = **found;
  const Reply& reply = record.reply;
  const Span branch = reply.succeeded ? operation.then : operation.otherwise;
  if (!reply.succeeded && !operation.transaction) {
    return nonsense("only a transaction can take its else branch");
  }
  // No answers at all: the recorder kept only that it succeeded.
  if (!reply.answers.empty() && reply.answers.size() != branch.count) {
    return nonsense("call " + std::to_string(record.call) + " asked for " +
                    std::to_string(branch.count) + " things and got " +
                    std::to_string(reply.answers.size()) + " answers");
  }
  operation.outcome = Outcome::ok;
  operation.returned = places_;
  operation.revision = reply.revision;
  operation.succeeded = reply.succeeded;
  for (size_t i = 0; i < reply.answers.size(); ++i) {
    const Answer& answer = reply.answers[i];
    Step& step = steps_[branch.first + i];
    const size_t first = items_.size();
    for (const Row& row : answer.rows) items_.push_back(item_of(row, step.key));
    step.items = span_from(first, items_.size());
    step.answered = true;
    step.count = answer.count;
    step.ttl_answered = answer.ttl;
    step.more = answer.more;
  }
  return {};
}

Result<void> History::take(const Failed& record) {
  const Result<Operation*> found = open_call(record.call);
  if (!found) return std::unexpected(found.error());
  (*found)->outcome = Outcome::failed;
  (*found)->returned = places_;
  (*found)->why = texts_.add(record.why);
  return {};
}

Result<void> History::take(const Unknown& record) {
  const Result<Operation*> found = open_call(record.call);
  if (!found) return std::unexpected(found.error());
  (*found)->why = texts_.add(record.why);
  return {};
}

Result<void> History::take(const WatchOpened& record) {
  const auto [place, fresh] =
      open_watches_.emplace(record.watch, static_cast<uint32_t>(watches_.size()));
  if (!fresh) return nonsense("watch " + std::to_string(record.watch) + " is still open");
  Watch watch;
  watch.number = record.watch;
  watch.process = record.process;
  watch.key = texts_.add(record.key);
  watch.end = texts_.add(record.end);
  watch.from = record.from;
  watch.previous = record.previous;
  watch.progress = record.progress;
  watch.no_put = record.no_put;
  watch.no_delete = record.no_delete;
  watch.fragment = record.fragment;
  watch.opened = places_;
  watch.opened_at = now_;
  watches_.push_back(std::move(watch));
  return {};
}

Result<WatchReply*> History::new_reply(uint64_t number, WatchReplyKind kind) {
  const auto found = open_watches_.find(number);
  if (found == open_watches_.end()) {
    return nonsense("watch " + std::to_string(number) + " is not open");
  }
  Watch& watch = watches_[found->second];
  watch.replies.push_back(static_cast<uint32_t>(watch_replies_.size()));
  WatchReply reply;
  reply.kind = kind;
  reply.watch = found->second;
  reply.place = places_;
  reply.at = now_;
  watch_replies_.push_back(reply);
  return &watch_replies_.back();
}

Result<void> History::take(const WatchCreated& record) {
  const Result<WatchReply*> reply = new_reply(record.watch, WatchReplyKind::created);
  if (!reply) return std::unexpected(reply.error());
  (*reply)->revision = record.revision;
  return {};
}

Result<void> History::take(const WatchDelivered& record) {
  const Result<WatchReply*> reply = new_reply(record.watch, WatchReplyKind::delivered);
  if (!reply) return std::unexpected(reply.error());
  (*reply)->revision = record.revision;
  (*reply)->fragment = record.fragment;
  const TextId asked = watches_[(*reply)->watch].key;
  const size_t first = changes_.size();
  for (const WatchEvent& event : record.events) {
    Change change;
    change.erased = event.erased;
    change.item = item_of(event.row, asked);
    change.has_previous = event.previous.has_value();
    if (event.previous) change.previous = item_of(*event.previous, change.item.key);
    changes_.push_back(change);
  }
  (*reply)->changes = span_from(first, changes_.size());
  return {};
}

Result<void> History::take(const WatchProgress& record) {
  const Result<WatchReply*> reply = new_reply(record.watch, WatchReplyKind::progress);
  if (!reply) return std::unexpected(reply.error());
  (*reply)->revision = record.revision;
  return {};
}

Result<void> History::take(const WatchEnded& record) {
  const Result<WatchReply*> reply = new_reply(record.watch, WatchReplyKind::ended);
  if (!reply) return std::unexpected(reply.error());
  (*reply)->revision = record.compacted;
  open_watches_.erase(record.watch);
  return {};
}

Result<void> History::take(const Committed& record) {
  if (record.revision < 1) return nonsense("a committed write has a revision of 1 or more");
  commits_.push_back({.revision = record.revision, .call = record.call});
  return {};
}

Result<void> History::take(const Expired& record) {
  expiries_.push_back(
      {.lease = record.lease, .revision = record.revision, .place = places_, .at = now_});
  return {};
}

Result<void> History::take(const Settled& /*record*/) {
  settled_ = places_;
  return {};
}

Result<void> History::take(const StateHash& record) {
  hashes_.push_back({.hash = record, .at = now_});
  return {};
}

Result<void> History::take(const QueueSample& record) {
  queues_.push_back({.sample = record, .at = now_});
  return {};
}

}  // namespace quorate::check
