#include "app/etcdctl/keeper.h"

#include <charconv>

#include "app/etcdctl/paths.h"
#include "app/etcdctl/shapes.h"
#include "base/base64.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

constexpr auto kAnswerPatience = std::chrono::seconds(3);  // then another endpoint is asked
constexpr auto kRetryPause = std::chrono::milliseconds(300);

}  // namespace

void Keeper::granted(int64_t seconds) {
  const auto live = std::chrono::seconds(seconds);
  next_ = Clock::now() + live / 3;
  ends_ = Clock::now() + live;
}

bool Keeper::send(std::string& why) {
  std::string request;
  protobuf::write_number(1, lease_, request);
  if (stream_ != nullptr) {
    stream_->send(request);
    return true;
  }
  auto opened = session_.open(kPathLeaseKeepAlive, request);
  if (!opened) {
    why = opened.error().text;
    return false;
  }
  stream_ = std::move(*opened);
  return true;
}

// This endpoint does not serve us.
void Keeper::leave() {
  stream_.reset();
  session_.move_on();
  waiting_ = false;
}

Keeper::News Keeper::wait(Duration patience, std::span<const int> others) {
  const auto end = Clock::now() + patience;
  std::string why = "no answer to a renewal";
  if (Clock::now() >= next_) {
    if (waiting_) leave();
    waiting_ = send(why);
    if (!waiting_ && ends_ == Clock::time_point::max()) return {std::nullopt, why};
    next_ = Clock::now() + (waiting_ ? Duration(kAnswerPatience) : Duration(kRetryPause));
  }
  if (Clock::now() >= ends_) {
    return {std::nullopt, "the lease was not renewed in time and is over: " + why};
  }
  const auto until = std::min(end, next_);
  if (stream_ == nullptr) return {};
  const Stream::Event event = stream_->next(std::max<Duration>(until - Clock::now(), {}), others);
  if (event.kind == Stream::Event::Kind::nothing) return {};
  if (event.kind == Stream::Event::Kind::ended) {
    leave();
    next_ = Clock::now() + kRetryPause;
    if (ends_ == Clock::time_point::max()) ends_ = Clock::now() + session_.access().timeout;
    const bool refused = judge_read(event.answer) == Verdict::refused;
    if (refused) return {std::nullopt, event.answer.message};
    return {};
  }
  waiting_ = false;
  auto answer = Message::decode(kLeaseKeepAliveShape, event.message);
  if (!answer) return {std::nullopt, "the server's answer cannot be decoded"};
  if (answer->integer("TTL") > 0) granted(answer->integer("TTL"));
  return {std::move(answer), std::nullopt};
}

std::optional<int64_t> lease_id_of(const std::string& text) {
  int64_t id = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, id, 16);
  if (text.empty() || error != std::errc() || end != last) return std::nullopt;
  return id;
}

std::string base64_json(const std::string& bytes) {
  std::string out = "\"";
  append_base64(bytes, out);
  return out + "\"";
}

}  // namespace quorate::app::etcdctl
