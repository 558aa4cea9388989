// lock and elect: wait for a turn, say so, keep it until the command or a signal ends it.
#include <chrono>
#include <iostream>

#include "app/etcdctl/child.h"
#include "app/etcdctl/commands.h"
#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/etcdctl/turn.h"
#include "app/etcdctl/watch_request.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

namespace etcd = machine::etcd;

constexpr int64_t kElectionSeconds = 60;  // to live without renewal, as etcdctl's
constexpr auto kChildLook = std::chrono::milliseconds(50);
constexpr auto kPatience = std::chrono::hours(1);

// The command's own exit code is ours: whoever wrapped it wants to know.
int run_locked(Turn& turn, Interruption& interruption, const std::vector<std::string>& command) {
  auto child = start_child(
      command, {{"ETCD_LOCK_KEY", turn.key()}, {"ETCD_LOCK_REV", std::to_string(turn.revision())}},
      interruption);
  if (!child) {
    complain(child.error().text);
    return kExitRefused;
  }
  bool told = false;
  while (true) {
    const int code = child_code(*child, false);
    if (code >= 0) return code;
    const bool held = turn.hold(kChildLook);
    // It goes on without the lock if we do not end it; a signal of ours is meant for it too.
    if ((!held || interruption.happened()) && !told) ::kill(*child, SIGTERM);
    told = told || !held || interruption.happened();
    if (told) return child_code(*child, true);
  }
}

// Shows the key that holds the turn, as a read of it.
int show_key(const Common& common, Turn& turn) {
  etcd::RangeRequest request;
  request.key = turn.key();
  std::string wire;
  etcd::encode(request, wire);
  const Response response = turn.session().read(kPathRange, wire);
  if (response.verdict != Verdict::done) return report(response, false);
  const int code = show_range(common, response.body, {});
  std::cout.flush();
  return code;
}

int hold_until_signal(Turn& turn, Interruption& interruption) {
  while (!interruption.happened()) {
    if (!turn.hold(kPatience)) return kExitUnavailable;
  }
  return kExitOk;
}

// Whoever has the turn under a name, each time it changes.
class Observer {
 public:
  Observer(const Common& common, const std::string& name)
      : common_(common), session_(common), range_(key_range(name + "/", "", true, false)) {}
  int run();

 private:
  std::optional<int> look(int64_t& revision);
  std::optional<int> await_change(int64_t since);

  const Common& common_;
  Session session_;
  KeyRange range_;
  Interruption interruption_;
  std::string shown_;
};

std::optional<int> Observer::look(int64_t& revision) {
  etcd::RangeRequest request;
  request.key = range_.key;
  request.range_end = range_.end;
  request.limit = 1;
  request.sort_order = static_cast<int32_t>(etcd::SortOrder::ascend);
  request.sort_target = static_cast<int32_t>(etcd::SortTarget::create);
  std::string wire;
  etcd::encode(request, wire);
  const Response response = session_.read(kPathRange, wire);
  if (response.verdict != Verdict::done) return report(response, false);
  auto found = Message::decode(kRangeShape, response.body);
  if (!found) return undecodable();
  const Message* header = found->message("header");
  revision = header == nullptr ? 0 : header->integer("revision");
  if (found->messages("kvs").empty()) return std::nullopt;
  const Message& first = found->messages("kvs").front();
  const std::string state = first.text("key") + "@" + first.json();
  if (state == shown_) return std::nullopt;
  shown_ = state;
  // Only the pair, without the count of a read: so etcd's clients report what they observe.
  std::string body;
  protobuf::Reader reader(response.body);
  while (reader.next()) {
    if (reader.field() == protobuf::bytes_field(1)) {
      protobuf::write_present(1, reader.bytes(), body);
    } else if (reader.field() == protobuf::bytes_field(2)) {
      protobuf::write_present(2, reader.bytes(), body);
    }
  }
  const int code = show_range(common_, body, {});
  std::cout.flush();
  return code == kExitOk ? std::nullopt : std::optional(code);
}

std::optional<int> Observer::await_change(int64_t since) {
  auto stream = session_.open(
      kPathWatch, encode(WatchRequest{.key = range_.key, .end = range_.end, .start = since}));
  if (!stream) {
    complain(stream.error().text);
    return kExitUnavailable;
  }
  while (!interruption_.happened()) {
    const Stream::Event event = (*stream)->next(kPatience, interruption_.descriptors());
    if (event.kind == Stream::Event::Kind::nothing) continue;
    if (event.kind == Stream::Event::Kind::ended) {
      session_.move_on();
      return std::nullopt;
    }
    const auto response = Message::decode(kWatchShape, event.message);
    if (!response) return undecodable();
    if (response->flag("canceled") || !response->messages("events").empty()) return std::nullopt;
  }
  return kExitOk;
}

int Observer::run() {
  while (!interruption_.happened()) {
    int64_t revision = 0;
    if (auto code = look(revision)) return *code;
    if (auto code = await_change(revision + 1)) return *code;
  }
  return kExitOk;
}

}  // namespace

int run_lock(const Common& common, const LockOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  Interruption interruption;
  Turn turn(common, interruption);
  if (auto code = turn.take(options.name, "", options.seconds)) return *code;
  int code = kExitOk;
  if (options.command.empty()) {
    code = show_key(common, turn);
    if (code == kExitOk) code = hold_until_signal(turn, interruption);
  } else {
    code = run_locked(turn, interruption, options.command);
  }
  turn.release();
  return code;
}

int run_elect(const Common& common, const ElectOptions& options) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  if (options.listen) return Observer(common, options.name).run();
  if (!options.given) {
    complain("elect needs a proposal: elect NAME PROPOSAL, or --listen to only look");
    return kExitUsage;
  }
  Interruption interruption;
  Turn turn(common, interruption);
  if (auto code = turn.take(options.name, options.proposal, kElectionSeconds)) return *code;
  int code = show_key(common, turn);
  if (code == kExitOk) code = hold_until_signal(turn, interruption);
  turn.release();
  return code;
}

}  // namespace quorate::app::etcdctl
