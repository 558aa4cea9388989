// check/history.h: a history in memory: operations of processes over time, ready to be checked.
//
// Built from records in the order of time, or read from a file (history_text.h). Everything lies
// flat in a few arrays and texts are numbers, because a checker walks through millions of
// operations. Real time is kept twice: in nanoseconds for people, and as places in the one order
// of all events, which is what checkers compare. An operation precedes another if and only if it
// returned at an earlier place than the other was invoked.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "check/record.h"
#include "check/texts.h"

namespace quorate::check {

using Place = uint32_t;                    // in the order of all events of a history
inline constexpr Place kOpen = ~Place{0};  // nothing was heard any more

// More records than this are refused: places and indexes are 32 bits wide.
inline constexpr size_t kRecordsMax = size_t{1} << 30;

enum class Outcome : uint8_t { ok, failed, unknown };

struct Span {
  uint32_t first = 0;
  uint32_t count = 0;
};

struct Item {  // a Row
  TextId key = 0;
  TextId value = kNoText;
  int64_t create = kNotRecorded;
  int64_t mod = kNotRecorded;
  int64_t version = kNotRecorded;
  int64_t lease = kNotRecorded;
};

struct Step {  // a Request and, once answered, its Answer
  Verb verb = Verb::get;
  bool serializable = false;
  bool keys_only = false;
  bool count_only = false;
  bool previous = false;
  bool ignore_value = false;
  bool ignore_lease = false;
  bool answered = false;
  bool more = false;
  TextId key = 0;
  TextId end = 0;
  TextId value = 0;
  Span items;
  int64_t lease = 0;
  int64_t revision = 0;
  int64_t limit = 0;
  int64_t ttl = 0;
  int64_t count = kNotRecorded;
  int64_t ttl_answered = kNotRecorded;
};

struct Comparison {  // a Condition
  Target target = Target::value;
  Relation relation = Relation::equal;
  TextId key = 0;
  TextId value = 0;
  int64_t number = 0;
};

struct Operation {
  uint64_t call = 0;
  uint32_t process = 0;
  Outcome outcome = Outcome::unknown;
  bool transaction = false;
  bool succeeded = true;
  Place invoked = 0;
  Place returned = kOpen;
  Time invoked_at;
  Time returned_at = kNever;  // unknown: when the process gave up
  int64_t revision = kNotRecorded;
  Span conditions;
  Span then;
  Span otherwise;
  TextId why = 0;  // the error's text

  bool precedes(const Operation& other) const { return returned < other.invoked; }
};

enum class WatchReplyKind : uint8_t { created, delivered, progress, ended };
struct Change {  // a WatchEvent
  bool erased = false;
  bool has_previous = false;
  Item item;
  Item previous;
};
struct WatchReply {
  WatchReplyKind kind = WatchReplyKind::created;
  bool fragment = false;
  uint32_t watch = 0;  // index in watches()
  Place place = 0;
  Time at;
  int64_t revision = kNotRecorded;  // ended: the compacted one, or 0
  Span changes;
};
struct Watch {
  uint64_t number = 0;
  uint32_t process = 0;
  TextId key = 0;
  TextId end = 0;
  int64_t from = 0;
  bool previous = false;
  bool progress = false;
  bool no_put = false;
  bool no_delete = false;
  bool fragment = false;
  Place opened = 0;
  Time opened_at;
  std::vector<uint32_t> replies;  // indexes in watch_replies()
};

struct CommitNote {
  int64_t revision = 0;
  uint64_t call = 0;
};
struct ExpiryNote {
  int64_t lease = 0;
  int64_t revision = 0;
  Place place = 0;
  Time at;
};
struct HashNote {
  StateHash hash;
  Time at;
};
struct QueueNote {
  QueueSample sample;
  Time at;
};

class History : public Recorder {
 public:
  // Refuses what makes no sense: an answer to a call never made, time going backwards, and such.
  Result<void> add(Time at, const Record& record);
  // The same for a recorder that is ours: a refusal is then a bug.
  void record(Time at, const Record& record) override;

  std::span<const Operation> operations() const { return operations_; }
  std::span<const Comparison> conditions(const Operation& operation) const {
    return part(conditions_, operation.conditions);
  }
  // What was asked for; `branch` is operation.then or operation.otherwise.
  std::span<const Step> steps(Span branch) const { return part(steps_, branch); }
  // The branch that the answer says was taken.
  std::span<const Step> taken(const Operation& operation) const {
    return part(steps_, operation.succeeded ? operation.then : operation.otherwise);
  }
  std::span<const Item> items(const Step& step) const { return part(items_, step.items); }
  std::string_view text(TextId id) const { return texts_.view(id); }
  const Texts& texts() const { return texts_; }

  int64_t start_revision() const { return start_revision_; }
  int64_t start_compacted() const { return start_compacted_; }
  std::span<const Item> start_items() const { return part(items_, start_); }

  std::span<const Watch> watches() const { return watches_; }
  std::span<const WatchReply> watch_replies() const { return watch_replies_; }
  std::span<const Change> changes(const WatchReply& reply) const {
    return part(changes_, reply.changes);
  }

  std::span<const CommitNote> commits() const { return commits_; }
  std::span<const ExpiryNote> expiries() const { return expiries_; }
  std::span<const HashNote> hashes() const { return hashes_; }
  std::span<const QueueNote> queues() const { return queues_; }
  Place settled() const { return settled_; }  // kOpen: never
  Place places() const { return places_; }    // how many events there are
  // The times are line numbers of a file that knows no time.
  bool timeless() const { return timeless_; }
  void set_timeless() { timeless_ = true; }

 private:
  template <class T>
  static std::span<const T> part(const std::vector<T>& all, Span span) {
    return std::span<const T>(all).subspan(span.first, span.count);
  }
  Result<void> take(const Start& record);
  Result<void> take(const Invoked& record);
  Result<void> take(const Answered& record);
  Result<void> take(const Failed& record);
  Result<void> take(const Unknown& record);
  Result<void> take(const WatchOpened& record);
  Result<void> take(const WatchCreated& record);
  Result<void> take(const WatchDelivered& record);
  Result<void> take(const WatchProgress& record);
  Result<void> take(const WatchEnded& record);
  Result<void> take(const Committed& record);
  Result<void> take(const Expired& record);
  Result<void> take(const Settled& record);
  Result<void> take(const StateHash& record);
  Result<void> take(const QueueSample& record);

  Result<Operation*> open_call(uint64_t call);
  Result<WatchReply*> new_reply(uint64_t watch, WatchReplyKind kind);
  Span add_steps(const std::vector<Request>& requests);
  Item item_of(const Row& row, TextId asked);

  Texts texts_;
  std::vector<Operation> operations_;
  std::vector<Comparison> conditions_;
  std::vector<Step> steps_;
  std::vector<Item> items_;
  std::vector<Change> changes_;
  std::vector<Watch> watches_;
  std::vector<WatchReply> watch_replies_;
  std::vector<CommitNote> commits_;
  std::vector<ExpiryNote> expiries_;
  std::vector<HashNote> hashes_;
  std::vector<QueueNote> queues_;
  std::map<uint64_t, uint32_t> open_calls_;  // call -> index in operations_
  std::map<uint64_t, uint32_t> open_watches_;
  int64_t start_revision_ = 1;
  int64_t start_compacted_ = 0;
  Span start_;
  Place settled_ = kOpen;
  Place places_ = 0;
  bool timeless_ = false;
  Time now_;
};

}  // namespace quorate::check
