#include "load/etcd_driver.h"

#include "base/check.h"

namespace quorate::load {
namespace {

class UnaryDriver final : public Driver, private CallHandler {
 public:
  UnaryDriver(Http2Client& client, std::unique_ptr<Requests> requests, uint32_t slots)
      : client_(client), requests_(std::move(requests)), slots_(slots) {}

  std::vector<std::string> kinds() const override { return requests_->kinds(); }
  bool ready() const override { return client_.ready(); }
  std::string first_error() const override { return first_error_; }

  void issue(const Operation& operation) override {
    CHECK(operation.slot < slots_.size(), "as many slots as the plan has");
    Slot& slot = slots_[operation.slot];
    message_.clear();
    slot.request = requests_->make(operation, message_);
    slot.judgement = {Outcome::wrong_answer, slot.request.kind};  // if none comes
    client_.start(slot.request.path, message_, *this, operation.slot,
                  slot.request.look == Look::message);
  }

  void turn(Duration patience, Listener& listener) override {
    listener_ = &listener;
    client_.turn(patience);
    listener_ = nullptr;
  }

 private:
  struct Slot {
    Request request;
    Judgement judgement;
  };

  void on_message(Call& call, std::string_view message) override {
    const auto number = static_cast<uint32_t>(call.tag);
    slots_[number].judgement = requests_->judge(number, message);
  }

  void on_end(Call& call, Outcome outcome, std::string_view text) override {
    const auto number = static_cast<uint32_t>(call.tag);
    const Slot& slot = slots_[number];
    Judgement judged{outcome, slot.request.kind};
    if (outcome == Outcome::ok && slot.request.look == Look::size &&
        call.answer_bytes < slot.request.answer_bytes_min) {
      judged.outcome = Outcome::wrong_answer;
    }
    if (outcome == Outcome::ok && slot.request.look == Look::message) judged = slot.judgement;
    if (judged.outcome != Outcome::ok && first_error_.empty()) {
      first_error_ = std::string(outcome_name(judged.outcome));
      if (!text.empty()) first_error_ += ": " + std::string(text);
    }
    // Behind the end of a run nobody waits for it.
    if (listener_ != nullptr) listener_->on_done(number, judged.outcome, judged.kind);
  }

  Http2Client& client_;
  std::unique_ptr<Requests> requests_;
  std::vector<Slot> slots_;
  std::string message_;
  std::string first_error_;
  Listener* listener_ = nullptr;
};

}  // namespace

std::unique_ptr<Driver> unary_driver(Http2Client& client, std::unique_ptr<Requests> requests,
                                     uint32_t slots) {
  return std::make_unique<UnaryDriver>(client, std::move(requests), slots);
}

}  // namespace quorate::load
