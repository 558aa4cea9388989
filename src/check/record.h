// check/record.h: what can be written down about a run: calls and their answers, watch streams,
// and what a simulator knows beyond its clients.
//
// A record is one event, stamped with the time at which it was seen from outside. It knows no
// protocol and no server: etcd-shaped stores, plain registers and key-value logs fit. Whatever was
// not recorded stays kNotRecorded (or absent) and is then not compared, so a sparse history is
// checked less strictly, never wrongly. The text form is in docs/formats/history.md.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/types.h"

namespace quorate::check {

inline constexpr int64_t kNotRecorded = std::numeric_limits<int64_t>::min();

// One key with its value as an answer shows it, or as a store held it at the start.
struct Row {
  std::string key;  // empty in an answer: the key that was asked for
  std::optional<std::string> value;
  int64_t create = kNotRecorded;  // revision of its creation
  int64_t mod = kNotRecorded;     // revision of its last change
  int64_t version = kNotRecorded;
  int64_t lease = kNotRecorded;  // 0: surely none
  bool operator==(const Row&) const = default;
};

enum class Verb : uint8_t {
  get,
  put,
  append,  // to the old value's end; key-value logs only
  erase,
  grant,
  revoke,
  keep_alive,
  time_to_live,
  compact
};

// One step of a call. Fields that the verb has no use for are ignored.
struct Request {
  Verb verb = Verb::get;
  std::string key;
  std::string end;  // empty: only `key`; else [key, end); "\0" alone: every key from `key` on
  std::string value;
  int64_t lease = 0;
  int64_t revision = 0;       // get: as of this revision, 0: now; compact: up to this one
  int64_t limit = 0;          // get: rows at most, 0: all
  int64_t ttl = 0;            // grant: seconds
  bool serializable = false;  // get: one member's state, maybe old
  bool keys_only = false;
  bool count_only = false;
  bool previous = false;      // put, erase: the answer shows the rows as they were before
  bool ignore_value = false;  // put: keep the old value
  bool ignore_lease = false;
  bool operator==(const Request&) const = default;
};

enum class Target : uint8_t { value, version, create, mod, lease };
enum class Relation : uint8_t { equal, not_equal, less, greater };

struct Condition {
  Target target = Target::value;
  Relation relation = Relation::equal;
  std::string key;
  std::string value;   // target value
  int64_t number = 0;  // the other targets
  bool operator==(const Condition&) const = default;
};

// A plain call is one request in `then`. A transaction does all of `then` if every condition
// holds and all of `otherwise` if not, at one revision.
struct Call {
  bool transaction = false;
  std::vector<Condition> conditions;
  std::vector<Request> then;
  std::vector<Request> otherwise;
  bool operator==(const Call&) const = default;
};

struct Answer {
  std::vector<Row> rows;         // get: what was found; put, erase: what was there before
  int64_t count = kNotRecorded;  // get: keys in the range; erase: keys deleted
  int64_t ttl = kNotRecorded;    // lease calls: seconds; keep_alive 0 and time_to_live -1: gone
  bool more = false;             // get: cut off by `limit`
  bool operator==(const Answer&) const = default;
};

struct Reply {
  int64_t revision = kNotRecorded;  // of the store when the call took effect
  bool succeeded = true;            // transaction: the conditions held
  std::vector<Answer> answers;      // one for each request of the branch taken
  bool operator==(const Reply&) const = default;
};

// ---- Calls. The recorder numbers them; a number is never used twice.
struct Invoked {
  uint64_t call = 0;
  uint32_t process = 0;
  Call what;
  bool operator==(const Invoked&) const = default;
};
struct Answered {
  uint64_t call = 0;
  Reply reply;
  bool operator==(const Answered&) const = default;
};
struct Failed {  // surely not applied, now or later
  uint64_t call = 0;
  std::string why;
  bool operator==(const Failed&) const = default;
};
struct Unknown {  // may have been applied, or may still be; also what no record at all means
  uint64_t call = 0;
  std::string why;
  bool operator==(const Unknown&) const = default;
};

// ---- Watches. Numbered apart from calls.
struct WatchOpened {
  uint64_t watch = 0;
  uint32_t process = 0;
  std::string key;
  std::string end;
  int64_t from = 0;  // first revision wanted; 0: from now on
  bool previous = false;
  bool progress = false;
  bool no_put = false;
  bool no_delete = false;
  bool fragment = false;  // a revision may be split over several answers
  bool operator==(const WatchOpened&) const = default;
};
struct WatchCreated {
  uint64_t watch = 0;
  int64_t revision = kNotRecorded;  // of the store when the watch began
  bool operator==(const WatchCreated&) const = default;
};
struct WatchEvent {
  bool erased = false;
  Row row;
  std::optional<Row> previous;
  bool operator==(const WatchEvent&) const = default;
};
struct WatchDelivered {  // one answer of the stream
  uint64_t watch = 0;
  int64_t revision = kNotRecorded;  // of the answer's header
  bool fragment = false;            // the same answer goes on in the next one
  std::vector<WatchEvent> events;
  bool operator==(const WatchDelivered&) const = default;
};
struct WatchProgress {  // nothing up to `revision` is still to come
  uint64_t watch = 0;
  int64_t revision = 0;
  bool operator==(const WatchProgress&) const = default;
};
struct WatchEnded {
  uint64_t watch = 0;
  int64_t compacted = 0;  // not 0: ended because revisions before this one are forgotten
  std::string why;
  bool operator==(const WatchEnded&) const = default;
};

// ---- What stands around the calls.
struct Start {  // the store before the first call; without it: empty, at revision 1
  int64_t revision = 1;
  int64_t compacted = 0;
  std::vector<Row> rows;
  bool operator==(const Start&) const = default;
};
struct Committed {  // a simulator's knowledge: who made `revision`
  int64_t revision = 0;
  uint64_t call = 0;
  bool operator==(const Committed&) const = default;
};
struct Expired {  // likewise: the lease ran out; revision 0 when it held no keys
  int64_t lease = 0;
  int64_t revision = 0;
  bool operator==(const Expired&) const = default;
};
struct Settled {  // every open watch has had the time to deliver what it will ever deliver
  bool operator==(const Settled&) const = default;
};
struct StateHash {
  uint64_t member = 0;
  int64_t revision = 0;
  uint64_t hash = 0;
  bool operator==(const StateHash&) const = default;
};
struct QueueSample {
  uint64_t member = 0;
  std::string name;
  uint64_t size = 0;
  uint64_t limit = 0;
  bool operator==(const QueueSample&) const = default;
};

using Record = std::variant<Start, Invoked, Answered, Failed, Unknown, WatchOpened, WatchCreated,
                            WatchDelivered, WatchProgress, WatchEnded, Committed, Expired, Settled,
                            StateHash, QueueSample>;

// Takes records in the order in which they happened; `at` never goes backwards.
class Recorder {
 public:
  virtual ~Recorder() = default;
  virtual void record(Time at, const Record& record) = 0;
};

}  // namespace quorate::check
