#include "front/grpc/near_end.h"

#include <utility>

#include "base/check.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {

// A connection whose socket is on the client's side. Bytes that crossed stay in the account until
// that side says that they have left.
class NearEnd::Link final : public Bearer {
 public:
  Link(NearEnd& end, const Inward& item, std::string_view common_name)
      : Bearer(end.server_, item.offer, kCrossedAnswersBytesMax),
        end_(end),
        number_(item.link),
        common_name_(common_name) {}
  ~Link() override {
    closed_ = true;
    forget_calls();
    server_.forget_bearer(*this);
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void respond(Call& call) override {
    if (std::exchange(call.submitted, true)) return;  // on the list
    ready_.push_back(call.id);
    server_.mark_dirty(*this);
  }
  bool flush() override {
    std::vector<CallId> round;
    round.swap(ready_);
    for (const CallId id : round) {
      Call* call = server_.calls().find(id);
      if (call == nullptr) continue;
      call->submitted = false;
      end_.send_over(*call, number_);
      if (call->finished) server_.forget_call(*call);
    }
    return run_waiting();
  }
  std::string_view common_name() const override { return common_name_; }
  bool closed() const override { return closed_; }
  void on_sent(size_t bytes) {
    CHECK(bytes <= unsent_, "a client takes only what was sent");
    count_sent(bytes);
    server_.mark_dirty(*this);  // calls may wait for this
  }

 private:
  NearEnd& end_;
  uint64_t number_;
  std::string common_name_;
  std::vector<CallId> ready_;
  bool closed_ = false;
};

NearEnd::NearEnd(Server& server) : server_(server) {}

NearEnd::~NearEnd() { close_calls(); }

void NearEnd::close_calls() { links_.clear(); }

void NearEnd::take(const InwardBatch& batch) {
  server_.enter_event();  // the end of this turn is still to come
  Cutter bytes(batch.bytes);
  for (const Inward& item : batch.items) take_item(item, bytes);
  server_.count_elsewhere(std::exchange(counted_, batch.metrics), batch.metrics);
  server_.leave_event();
}

void NearEnd::take_item(const Inward& item, Cutter& bytes) {
  switch (item.kind) {
    case Inward::Kind::connected:
      links_.emplace(item.link, std::make_unique<Link>(*this, item, bytes.take(item.size)));
      return;
    case Inward::Kind::disconnected:
      links_.erase(item.link);
      return;
    case Inward::Kind::sent:
      if (const auto link = links_.find(item.link); link != links_.end()) {
        link->second->on_sent(item.size);
      }
      return;
    case Inward::Kind::unary:
    case Inward::Kind::stream:
      return open(item, bytes);
    case Inward::Kind::data: {
      const std::string_view frame = bytes.take(item.size);
      if (Call* call = find(item.call); call != nullptr) server_.take_stream_data(*call, frame);
      return;
    }
    case Inward::Kind::half_closed:
      if (Call* call = find(item.call); call != nullptr) server_.on_half_close(*call);
      return;
    case Inward::Kind::drained:
      return on_drained(item);
    case Inward::Kind::page:
      return open_page(item, bytes.take(item.size));
    case Inward::Kind::refused: {
      const std::string_view text = bytes.take(item.size);
      if (Call* call = find(item.call); call != nullptr) {
        server_.finish(call->id, {item.code, std::string(text)});
      }
      return;
    }
    case Inward::Kind::over:
      if (Call* call = find(item.call); call != nullptr) server_.abandon(*call, item.code);
      return;
    case Inward::Kind::turned_away:
      return server_.count_turned_away(item.method, item.code);
  }
}

Call* NearEnd::acquire(const Inward& item) {
  const auto link = links_.find(item.link);
  CHECK(link != links_.end(), "a connection is announced before its calls");
  Call& call = server_.calls().acquire(*link->second);
  link->second->adopt(call);
  if (calls_.size() <= item.call.slot) calls_.resize(item.call.slot + 1);
  calls_[item.call.slot] = call.id;
  call.twin = item.call;
  call.ferried = true;
  call.headers_done = true;
  call.http_method = item.http_method;
  call.started = item.started;
  return &call;
}

Call* NearEnd::find(CallId far) const {
  if (far.slot >= calls_.size()) return nullptr;
  Call* call = server_.calls().find(calls_[far.slot]);
  return call != nullptr && call->ferried && call->twin == far ? call : nullptr;
}

void NearEnd::open(const Inward& item, Cutter& bytes) {
  Call& call = *acquire(item);
  call.metadata.token = bytes.take(item.token_bytes);
  call.metadata.version = bytes.take(item.version_bytes);
  call.metadata.needs_leader = item.needs_leader;
  call.posted = item.posted;
  call.deadline = item.deadline;
  call.method = server_.methods().at(item.method);
  server_.count_started(call);
  if (item.kind == Inward::Kind::stream) return server_.begin(call);
  call.inbound.append(bytes.take(item.size));
  call.connection->count_unfinished(call.inbound.size());
  server_.take_request(call);
}

void NearEnd::open_page(const Inward& item, std::string_view path) {
  Call& call = *acquire(item);
  call.page = true;
  call.path = path;
  server_.run_page(call);
}

void NearEnd::on_drained(const Inward& item) {
  Call* call = find(item.call);
  if (call == nullptr) return;
  CHECK(item.size <= call->away, "a client takes only what was sent");
  call->away -= item.size;
  if (call->away > 0 || call->unsent() > 0 || call->finished || call->method == nullptr) return;
  if (call->method->stream != nullptr) call->method->stream->on_writable(call->id);
}

void NearEnd::send_over(Call& call, uint64_t link) {
  if (outward_ == nullptr) outward_ = std::make_unique<OutwardBatch>();
  Outward item;
  item.call = call.twin;
  item.link = link;
  item.finished = call.finished;
  item.page = call.page;
  item.http_status = call.http_status;
  item.code = call.status.code;
  const std::string& text = call.page ? call.page_type : call.status.text;
  item.text_bytes = static_cast<uint32_t>(text.size());
  outward_->bytes.append(text);
  item.size = call.unsent();
  call.take_output(item.size, outward_->bytes);
  call.away += item.size;
  outward_->items.push_back(item);
}

}  // namespace quorate::front::grpc
