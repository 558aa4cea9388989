#include "app/session.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "app/exit_codes.h"
#include "app/messages.h"

namespace quorate::app {
namespace {

using Clock = std::chrono::steady_clock;
using front::grpc::Answer;
using front::grpc::Fate;

constexpr auto kConnectPatience = std::chrono::seconds(2);
constexpr auto kPauseBetweenTries = std::chrono::milliseconds(100);

// gRPC status codes.
constexpr int kCanceled = 1;
constexpr int kUnknown = 2;
constexpr int kDeadlineExceeded = 4;
constexpr int kInternal = 13;
constexpr int kUnavailable = 14;

// Surely nothing happened, and another endpoint or a later time may do better.
bool is_worth_another_try(const Answer& answer) {
  return answer.message.find("too many requests") != std::string::npos ||
         answer.message.ends_with("rpc not supported for learner");
}

}  // namespace

Verdict judge_write(const Answer& answer) {
  if (answer.fate == Fate::not_sent) return Verdict::unavailable;
  if (answer.fate == Fate::lost) return Verdict::unknown;
  if (answer.status == 0) return Verdict::done;
  if (is_worth_another_try(answer)) return Verdict::unavailable;
  if (answer.message.ends_with("not enough started members")) return Verdict::refused;
  switch (answer.status) {
    case kUnavailable: {
      // docs/decisions/0008: these are said only of what was surely not applied. The others of
      // this code (timed out, stopped) leave it open.
      const bool sure = answer.message.ends_with("no leader") ||
                        answer.message.ends_with("leader changed") ||
                        answer.message.ends_with("unhealthy cluster");
      return sure ? Verdict::unavailable : Verdict::unknown;
    }
    case kCanceled:
    case kUnknown:
    case kDeadlineExceeded:
    case kInternal:
      return Verdict::unknown;
    default:
      return Verdict::refused;
  }
}

Verdict judge_read(const Answer& answer) {
  if (answer.fate != Fate::answered) return Verdict::unavailable;
  if (answer.status == 0) return Verdict::done;
  const bool later = answer.status == kUnavailable || answer.status == kDeadlineExceeded ||
                     answer.status == kCanceled || is_worth_another_try(answer);
  return later ? Verdict::unavailable : Verdict::refused;
}

int exit_code(Verdict verdict) {
  switch (verdict) {
    case Verdict::done:
      return kExitOk;
    case Verdict::refused:
      return kExitRefused;
    case Verdict::unavailable:
      return kExitUnavailable;
    case Verdict::unknown:
      break;
  }
  return kExitUnknown;
}

Session::Session(std::vector<std::string> endpoints, Duration timeout, world::Security* security)
    : endpoints_(std::move(endpoints)), timeout_(timeout), security_(security) {}

Result<front::grpc::Client*> Session::client(Duration patience) {
  if (client_ && client_->usable()) return client_.get();
  client_.reset();
  auto connected = front::grpc::connect(endpoints_[current_], patience, security_);
  if (!connected) return std::unexpected(connected.error());
  client_ = std::move(*connected);
  return client_.get();
}

Response Session::call(std::string_view path, std::string_view request, bool writes) {
  const auto end = Clock::now() + timeout_;
  Response last;
  while (true) {
    const Duration left = end - Clock::now();
    auto connected = client(std::min<Duration>(kConnectPatience, left));
    if (connected) {
      Answer answer = (*connected)->call(path, request, left);
      last.verdict = writes ? judge_write(answer) : judge_read(answer);
      last.text = endpoints_[current_] + ": " + answer.message;
      last.body = std::move(answer.body);
      if (last.verdict != Verdict::unavailable) return last;
    } else {
      last = {Verdict::unavailable, connected.error().text, {}};
    }
    // The next endpoint may know a leader that this one does not.
    current_ = (current_ + 1) % endpoints_.size();
    client_.reset();
    if (Clock::now() + kPauseBetweenTries >= end) return last;
    std::this_thread::sleep_for(kPauseBetweenTries);
  }
}

Response Session::read(std::string_view path, std::string_view request) {
  return call(path, request, false);
}

Response Session::write(std::string_view path, std::string_view request) {
  return call(path, request, true);
}

Response Session::ask(const std::string& endpoint, std::string_view path,
                      std::string_view request) {
  auto connected =
      front::grpc::connect(endpoint, std::min<Duration>(kConnectPatience, timeout_), security_);
  if (!connected) return {Verdict::unavailable, connected.error().text, {}};
  Answer answer = (*connected)->call(path, request, timeout_);
  return {judge_read(answer), endpoint + ": " + answer.message, std::move(answer.body)};
}

std::vector<std::string> leader_first(std::vector<std::string> endpoints, Duration timeout,
                                      world::Security* security) {
  Session session(endpoints, timeout, security);
  for (size_t at = 0; at < endpoints.size(); ++at) {
    const Response response = session.ask(endpoints[at], kPathStatus, "");
    const auto status = decode_status(response.body);
    if (response.verdict == Verdict::done && status && status->leader != 0 &&
        status->leader == status->member_id) {
      std::swap(endpoints[0], endpoints[at]);
      break;
    }
  }
  return endpoints;
}

}  // namespace quorate::app
