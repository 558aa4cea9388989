#include "load/keep_alive_driver.h"

#include <algorithm>

#include "base/check.h"
#include "base/ring.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::load {
namespace {

constexpr std::string_view kPath = "/etcdserverpb.Lease/LeaseKeepAlive";
constexpr uint32_t kId = 2;
constexpr uint32_t kTimeToLive = 3;

class KeepAliveDriver final : public Driver, private CallHandler {
 public:
  KeepAliveDriver(Http2Client& client, uint32_t slots, const KeepAliveOptions& options)
      : client_(client),
        slots_(slots),
        options_(options),
        streams_(static_cast<size_t>(std::min<uint64_t>(options.streams, options.leases))) {}

  std::vector<std::string> kinds() const override { return {"keep-alive"}; }
  bool ready() const override { return client_.ready(); }
  std::string first_error() const override { return first_error_; }

  void issue(const Operation& operation) override {
    CHECK(operation.slot < slots_, "as many slots as the plan has");
    const uint64_t number = operation.sequence % options_.leases;
    const size_t place = number % streams_.size();
    Stream& stream = streams_[place];
    // The first time, and again after it was lost.
    if (stream.call == nullptr) stream.call = &client_.open_stream(kPath, *this, place);
    const int64_t lease = options_.first_lease + static_cast<int64_t>(number);
    stream.waiting.push_back({operation.slot, lease});
    message_.clear();
    protobuf::write_number(1, lease, message_);
    client_.send(*stream.call, message_);
  }

  void turn(Duration patience, Listener& listener) override {
    listener_ = &listener;
    client_.turn(patience);
    listener_ = nullptr;
  }

 private:
  struct Waiting {
    uint32_t slot = 0;
    int64_t lease = 0;
  };
  struct Stream {
    Call* call = nullptr;
    Ring<Waiting> waiting;
  };

  void done(const Waiting& waiting, Outcome outcome, const std::string& why) {
    if (outcome != Outcome::ok && first_error_.empty()) first_error_ = why;
    if (listener_ != nullptr) listener_->on_done(waiting.slot, outcome, 0);
  }

  void on_message(Call& call, std::string_view message) override {
    Stream& stream = streams_[call.tag];
    if (stream.waiting.empty()) return;  // an answer to nothing; the next ones will not match
    const Waiting first = stream.waiting.front();
    stream.waiting.pop_front();
    int64_t lease = 0;
    int64_t seconds = 0;
    protobuf::Reader reader(message);
    while (reader.next()) {
      if (reader.field() == protobuf::varint_field(kId)) lease = reader.signed_number();
      if (reader.field() == protobuf::varint_field(kTimeToLive)) seconds = reader.signed_number();
    }
    const bool good = reader.ok() && lease == first.lease && seconds > 0;
    done(first, good ? Outcome::ok : Outcome::wrong_answer,
         lease == first.lease ? "the lease has ended" : "an answer about another lease");
  }

  void on_end(Call& call, Outcome outcome, std::string_view text) override {
    Stream& stream = streams_[call.tag];
    stream.call = nullptr;
    // A server that ends a stream in order has still not answered what waits.
    const Outcome each = outcome == Outcome::ok ? Outcome::no_status : outcome;
    while (!stream.waiting.empty()) {
      const Waiting first = stream.waiting.front();
      stream.waiting.pop_front();
      done(first, each,
           "a stream ended: " + std::string(outcome_name(outcome)) + " " + std::string(text));
    }
  }

  Http2Client& client_;
  uint32_t slots_;
  KeepAliveOptions options_;
  std::vector<Stream> streams_;
  std::string message_;
  std::string first_error_;
  Listener* listener_ = nullptr;
};

}  // namespace

std::unique_ptr<Driver> keep_alive_driver(Http2Client& client, uint32_t slots,
                                          const KeepAliveOptions& options) {
  return std::make_unique<KeepAliveDriver>(client, slots, options);
}

}  // namespace quorate::load
