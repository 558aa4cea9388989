#include "load/watch_driver.h"

#include <algorithm>

#include "base/check.h"
#include "load/clock.h"
#include "load/event_check.h"
#include "load/watch_wire.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::load {
namespace {

constexpr std::string_view kWatchPath = "/etcdserverpb.Watch/Watch";
constexpr std::string_view kPutPath = "/etcdserverpb.KV/Put";
constexpr Duration kTurn = std::chrono::milliseconds(10);

std::string behind_prefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

void write_time(Time moment, std::string& value) {
  auto number = static_cast<uint64_t>(moment.time_since_epoch().count());
  for (size_t place = 0; place < kWatchedValueBytesMin; ++place, number >>= 8U) {
    value[place] = static_cast<char>(number);
  }
}

Time read_time(std::string_view value) {
  uint64_t number = 0;
  for (size_t place = kWatchedValueBytesMin; place-- > 0;) {
    number = number << 8U | static_cast<uint8_t>(value[place]);
  }
  return Time(Duration(static_cast<Duration::rep>(number)));
}

class WatchDriver final : public Driver, private CallHandler {
 public:
  WatchDriver(Http2Client& client, const KeySpace& space, uint32_t slots,
              const WatchOptions& options)
      : client_(client),
        space_(space),
        options_(options),
        slots_(slots),
        streams_(std::min(options.streams, options.watchers), nullptr),
        check_(options.watchers),
        values_(space.value_bytes, space.seed + 1),
        rng_(space.seed),
        event_{"event", 0, {}, 0} {
    CHECK(space.value_bytes >= kWatchedValueBytesMin, "checked by the caller");
  }

  std::vector<std::string> kinds() const override { return {"put"}; }
  bool ready() const override { return client_.ready(); }
  std::string first_error() const override { return first_error_; }
  Result<void> prepare() override;
  void issue(const Operation& operation) override;
  void turn(Duration patience, Listener& listener) override;
  void measure(bool opens, Time moment) override;
  void finish() override;
  std::vector<SideResult> side_results() const override { return {event_}; }
  std::vector<std::string> problems() const override;

 private:
  // Tags of puts are their slots; those of streams lie above them.
  static constexpr uint64_t kStreamTag = uint64_t{1} << 32U;

  void on_message(Call& call, std::string_view message) override;
  void on_end(Call& call, Outcome outcome, std::string_view text) override;
  uint64_t lacking() const;
  void take_events(uint32_t watcher);

  Http2Client& client_;
  KeySpace space_;
  WatchOptions options_;
  uint32_t slots_;
  std::vector<Call*> streams_;
  uint32_t created_ = 0;
  EventCheck check_;
  Values values_;
  Rng rng_;
  SideResult event_;
  bool measuring_ = false;
  Time opens_ = kNever;
  Time closes_ = kNever;
  Time now_;
  uint64_t acknowledged_ = 0;
  uint64_t issued_ = 0;
  uint64_t puts_in_window_ = 0;
  uint64_t lost_ = 0;  // events that no longer seem to be on their way
  std::string first_error_;
  std::vector<std::string> stream_problems_;
  WatchedResponse response_;
  std::string message_;
  std::string value_;
  Listener* listener_ = nullptr;
};

// Streams that were lost say so once each; more than a few tell nothing new.
constexpr size_t kStreamProblemsMax = 10;

Result<void> WatchDriver::prepare() {
  for (size_t place = 0; place < streams_.size(); ++place) {
    if (!client_.ready()) return fail(ErrorKind::unavailable, "every connection is lost");
    streams_[place] = &client_.open_stream(kWatchPath, *this, kStreamTag + place);
  }
  const std::string end = behind_prefix(space_.prefix);
  for (uint32_t watcher = 0; watcher < options_.watchers; ++watcher) {
    std::string create;
    protobuf::write_present(1, space_.prefix, create);
    protobuf::write_present(2, end, create);
    protobuf::write_number(7, int64_t{watcher} + 1, create);  // 0 would leave the id to the server
    message_.clear();
    protobuf::write_present(1, create, message_);
    Call* const stream = streams_[watcher % streams_.size()];
    if (stream != nullptr) client_.send(*stream, message_);
  }
  const Time end_of_patience = clock_now() + options_.setup_max;
  while (created_ < options_.watchers && stream_problems_.empty()) {
    if (clock_now() > end_of_patience) {
      return fail(ErrorKind::unavailable, std::to_string(options_.watchers - created_) + " of " +
                                              std::to_string(options_.watchers) +
                                              " watchers were not created in time");
    }
    client_.turn(kTurn);
  }
  if (!stream_problems_.empty()) return fail(ErrorKind::unavailable, stream_problems_.front());
  return {};
}

void WatchDriver::issue(const Operation& operation) {
  CHECK(operation.slot < slots_, "as many slots as the plan has");
  ++issued_;
  if (operation.intended >= opens_ && operation.intended < closes_) ++puts_in_window_;
  value_ = values_.next();
  write_time(operation.intended, value_);
  const uint64_t key = space_.order == KeyOrder::sequential ? operation.sequence % space_.keys
                                                            : rng_.below(space_.keys);
  message_.clear();
  protobuf::write_present(1, key_text(space_.prefix, key), message_);
  protobuf::write_present(2, value_, message_);
  client_.start(kPutPath, message_, *this, operation.slot, false);
}

void WatchDriver::turn(Duration patience, Listener& listener) {
  listener_ = &listener;
  client_.turn(patience);
  listener_ = nullptr;
}

void WatchDriver::measure(bool opens, Time moment) {
  measuring_ = opens;
  (opens ? opens_ : closes_) = moment;
  if (!opens) return;
  puts_in_window_ = 0;
  closes_ = kNever;
  event_ = {"event", 0, {}, 0};
}

// The last events are still on their way when the last put has been answered.
void WatchDriver::finish() {
  Time now = clock_now();
  const Time end = now + options_.delivery_max;
  now_ = now;  // of the last event
  while (lacking() != 0 && stream_problems_.empty() && now < end &&
         now < now_ + options_.silence_max) {
    client_.turn(kTurn);
    now = clock_now();
  }
  lost_ = now >= end && now < now_ + options_.silence_max ? 0 : lacking();
  const uint64_t in_window = puts_in_window_ * options_.watchers;
  const uint64_t late = in_window - std::min(in_window, event_.latency.count());
  event_.undelivered = std::min(lacking() - lost_, late);
  event_.latency.add(now - closes_, event_.undelivered);
}

// Events that ought to have come to some watcher, and did not yet.
uint64_t WatchDriver::lacking() const {
  const uint64_t unseen = acknowledged_ - std::min(acknowledged_, check_.events());
  return check_.lacking() + unseen * options_.watchers;
}

void WatchDriver::on_message(Call& call, std::string_view message) {
  const bool good = decode_watched(message, response_);
  if (!good || response_.canceled || response_.watcher == 0 ||
      response_.watcher > options_.watchers) {
    if (stream_problems_.size() < kStreamProblemsMax) {
      stream_problems_.push_back(
          "stream " + std::to_string(call.tag - kStreamTag) +
          (good && response_.canceled ? ": a watcher was canceled: " : ": no answer of a watch") +
          std::string(response_.reason));
    }
    return;
  }
  if (response_.created) ++created_;
  if (!response_.events.empty()) take_events(static_cast<uint32_t>(response_.watcher - 1));
}

void WatchDriver::take_events(uint32_t watcher) {
  now_ = client_.read_at();
  if (measuring_) event_.in_window += response_.events.size();
  for (const WatchedEvent& event : response_.events) {
    check_.take(watcher, event.revision);
    if (event.value.size() < kWatchedValueBytesMin) continue;
    const Time intended = read_time(event.value);
    if (intended >= opens_ && intended < closes_) event_.latency.add(now_ - intended);
  }
}

void WatchDriver::on_end(Call& call, Outcome outcome, std::string_view text) {
  const std::string why = std::string(outcome_name(outcome)) +
                          (text.empty() ? std::string() : ": " + std::string(text));
  if (call.tag >= kStreamTag) {
    streams_[call.tag - kStreamTag] = nullptr;
    if (stream_problems_.size() < kStreamProblemsMax) {
      stream_problems_.push_back("stream " + std::to_string(call.tag - kStreamTag) +
                                 " of watchers ended: " + why);
    }
    return;
  }
  if (outcome == Outcome::ok) ++acknowledged_;
  if (outcome != Outcome::ok && first_error_.empty()) first_error_ = why;
  // Behind the end of a run nobody waits for it.
  if (listener_ != nullptr) listener_->on_done(static_cast<uint32_t>(call.tag), outcome, 0);
}

std::vector<std::string> WatchDriver::problems() const {
  std::vector<std::string> found = stream_problems_;
  const auto tell = [&found](uint64_t count, const std::string& what) {
    if (count != 0) found.push_back(std::to_string(count) + " " + what);
  };
  tell(check_.missed(), "events never came to a watcher, while later ones did");
  tell(check_.out_of_order(), "events came twice or out of order");
  if (lost_ != 0) tell(check_.behind(), "watchers had not seen all events, and no more came");
  if (check_.gave_up()) found.emplace_back("the order of events was not checked to the end");
  if (lost_ != 0 && check_.events() < acknowledged_) {
    tell(acknowledged_ - check_.events(), "puts were acknowledged, and nobody saw an event");
  }
  if (check_.events() > issued_) {  // one that failed or had no answer may still be done
    tell(check_.events() - issued_,
         "events are of nobody's put; does somebody else write under this prefix?");
  }
  return found;
}

}  // namespace

std::unique_ptr<Driver> watch_driver(Http2Client& client, const KeySpace& space, uint32_t slots,
                                     const WatchOptions& options) {
  return std::make_unique<WatchDriver>(client, space, slots, options);
}

}  // namespace quorate::load
