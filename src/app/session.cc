#include "app/session.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "app/exit_codes.h"
#include "app/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app {
namespace {

using Clock = std::chrono::steady_clock;
using front::grpc::Answer;
using front::grpc::Fate;

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

Stream::Stream(std::unique_ptr<front::grpc::Client> client, std::string_view path,
               std::string_view first)
    : client_(std::move(client)), call_(client_->open(path)) {
  client_->send(call_, first);
}

Stream::Event Stream::next(Duration timeout, std::span<const int> others) {
  if (arrived_.empty()) {
    for (front::grpc::Arrival& each : client_->arrivals(timeout, others)) {
      arrived_.push_back(std::move(each));
    }
  }
  if (arrived_.empty()) return {};
  front::grpc::Arrival first = std::move(arrived_.front());
  arrived_.pop_front();
  if (first.ended) return {Event::Kind::ended, {}, std::move(first.answer)};
  return {Event::Kind::message, std::move(first.message), {}};
}

Session::Session(Access access) : access_(std::move(access)) {}

Result<std::unique_ptr<front::grpc::Client>> Session::connect(const std::string& endpoint,
                                                              Duration patience) {
  // Sessions of several threads may share what secures connections, and that reads files anew.
  static std::mutex one_at_a_time;
  std::unique_lock turn(one_at_a_time, std::defer_lock);
  if (access_.security != nullptr) turn.lock();
  auto connected =
      front::grpc::connect(endpoint, std::min(access_.dial_timeout, patience), access_.security);
  if (turn.owns_lock()) turn.unlock();
  if (!connected || access_.user.empty()) return connected;
  if (token_.empty()) {
    if (auto known = authenticate(**connected); !known) return std::unexpected(known.error());
  }
  (*connected)->authorize(token_);
  return connected;
}

Result<void> Session::authenticate(front::grpc::Client& client) {
  std::string request;
  protobuf::write_bytes(1, access_.user, request);
  protobuf::write_bytes(2, access_.password, request);
  client.authorize({});
  const Answer answer = client.call(kPathAuthenticate, request, access_.timeout);
  if (answer.fate != Fate::answered || answer.status != 0) {
    return fail(ErrorKind::invalid, answer.message);
  }
  protobuf::Reader reader(answer.body);
  while (reader.next()) {
    if (reader.field() == protobuf::bytes_field(2)) token_ = reader.bytes();
  }
  client.authorize(token_);
  return {};
}

// With a token that the server knows no more (it lives minutes), once again with a new one: such
// a request was refused before anything else.
Answer Session::once(front::grpc::Client& client, std::string_view path, std::string_view request,
                     Duration patience) {
  Answer answer = client.call(path, request, patience);
  const bool stale = answer.message.ends_with("invalid auth token") ||
                     answer.message.ends_with("revision of auth store is old");
  if (!stale || access_.user.empty() || !authenticate(client)) return answer;
  return client.call(path, request, patience);
}

Result<front::grpc::Client*> Session::client(Duration patience) {
  if (client_ && client_->usable()) return client_.get();
  client_.reset();
  auto connected = connect(access_.endpoints[current_], patience);
  if (!connected) return std::unexpected(connected.error());
  client_ = std::move(*connected);
  return client_.get();
}

void Session::move_on() {
  current_ = (current_ + 1) % access_.endpoints.size();
  client_.reset();
}

Result<std::unique_ptr<front::grpc::Client>> Session::connect_anywhere() {
  const auto end = Clock::now() + access_.timeout;
  while (true) {
    auto connected = connect(access_.endpoints[current_], end - Clock::now());
    if (connected || connected.error().kind == ErrorKind::invalid) return connected;
    move_on();
    if (Clock::now() + kPauseBetweenTries >= end) return connected;
    std::this_thread::sleep_for(kPauseBetweenTries);
  }
}

Result<std::unique_ptr<Stream>> Session::open(std::string_view path, std::string_view first) {
  auto connected = connect_anywhere();
  if (!connected) return std::unexpected(connected.error());
  return std::make_unique<Stream>(std::move(*connected), path, first);
}

Result<std::string> Session::token() {
  if (auto connected = connect_anywhere(); !connected) return std::unexpected(connected.error());
  return token_;
}

Response Session::call(std::string_view path, std::string_view request, bool writes) {
  const auto end = Clock::now() + access_.timeout;
  Response last;
  while (true) {
    const Duration left = end - Clock::now();
    auto connected = client(left);
    if (connected) {
      Answer answer = once(**connected, path, request, left);
      last.verdict = writes ? judge_write(answer) : judge_read(answer);
      last.text = access_.endpoints[current_] + ": " + answer.message;
      last.body = std::move(answer.body);
      if (last.verdict != Verdict::unavailable) return last;
    } else {
      // Cut short by the end of all patience, it says less than the one before.
      if (last.text.empty() || Clock::now() < end) {
        last = {Verdict::unavailable, connected.error().text, {}};
      }
      if (connected.error().kind == ErrorKind::invalid) {
        last.verdict = Verdict::refused;
        return last;
      }
    }
    // The next endpoint may know a leader that this one does not.
    move_on();
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
  auto connected = connect(endpoint, access_.timeout);
  if (!connected) return {Verdict::unavailable, connected.error().text, {}};
  Answer answer = once(**connected, path, request, access_.timeout);
  return {judge_read(answer), endpoint + ": " + answer.message, std::move(answer.body)};
}

std::vector<std::string> leader_first(const Access& access, Duration timeout) {
  Access hasty = access;
  hasty.timeout = timeout;
  Session session(hasty);
  std::vector<std::string> endpoints = access.endpoints;
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
