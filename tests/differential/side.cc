#include "side.h"

#include <thread>

#include "front/grpc/call.h"
#include "front/grpc/limits.h"

namespace quorate::differential {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using front::grpc::TestAnswer;
using front::grpc::TestClient;

namespace {

constexpr auto kCallPatience = std::chrono::seconds(15);
constexpr auto kPumpInterval = std::chrono::milliseconds(20);
constexpr auto kLeaderPatience = std::chrono::seconds(30);
constexpr size_t kShownBytes = 80;

}  // namespace

std::string Side::open() {
  for (size_t member = 0; member < cluster_.size(); ++member) cluster_.start(member);
  for (size_t member = 0; member < cluster_.size(); ++member) {
    if (!cluster_.wait_listening(member)) {
      return "a member does not listen: " + cluster_.last_words(member);
    }
  }
  return connect(SIZE_MAX);
}

std::optional<size_t> Side::leader() {
  for (size_t member = 0; member < cluster_.size(); ++member) {
    if (!cluster_.takes_connections(member)) continue;
    TestClient client(cluster_.port(member));
    etcdserverpb::StatusResponse status;
    const TestAnswer answer = client.call(path_of("Maintenance/Status"), "");
    if (answer.grpc_status() != 0 || !status.ParseFromString(answer.first_message())) continue;
    if (status.leader() != 0 && status.leader() == status.header().member_id()) return member;
  }
  return std::nullopt;
}

bool Side::has_role(size_t member) {
  if (!cluster_.wait_listening(member)) return false;
  member_ = member;
  client_ = std::make_unique<TestClient>(cluster_.port(member));
  const Answer answer = call("Maintenance/Status", etcdserverpb::StatusRequest());
  if (answer.status != 0) return false;
  const auto& status = static_cast<const etcdserverpb::StatusResponse&>(*answer.response);
  const bool leads = status.leader() == status.header().member_id();
  if (status.leader() == 0 || leads != (role_ == Role::leader)) return false;
  // A leader that has not committed in its term answers no reads yet.
  etcdserverpb::RangeRequest read;
  read.set_key("nothing");
  return call("KV/Range", read).status == 0;
}

std::string Side::connect(size_t without) {
  const auto end = std::chrono::steady_clock::now() + kLeaderPatience;
  streams_.clear();
  while (std::chrono::steady_clock::now() < end) {
    for (size_t member = 0; member < cluster_.size(); ++member) {
      if (member != without && has_role(member)) return "";
    }
    std::this_thread::sleep_for(kPumpInterval);
  }
  return "no leader: " + cluster_.last_words(member_);
}

void Side::pump(std::chrono::milliseconds patience) {
  client_->pump(patience);
  for (auto& [number, stream] : streams_) read_stream(stream);
}

void Side::wait_end(int32_t call) {
  const auto end = std::chrono::steady_clock::now() + kCallPatience;
  while (!client_->answer(call).ended && !client_->connection_closed() &&
         std::chrono::steady_clock::now() < end) {
    pump(kPumpInterval);
  }
}

Answer Side::call_bytes(const std::string& path, const std::string& bytes,
                        const Message* response) {
  const int32_t stream = client_->start(TestClient::grpc_headers(path), TestClient::frame(bytes));
  wait_end(stream);
  const TestAnswer answer = client_->take(stream);
  Answer result;
  result.answered = answer.ended && !client_->connection_closed();
  result.status = answer.grpc_status();
  result.text = answer.grpc_message();
  if (result.status == 0 && response != nullptr) {
    result.response.reset(response->New());
    if (!result.response->ParseFromString(answer.first_message())) {
      result.text = "an answer that cannot be read";
    }
  }
  return result;
}

int32_t Side::begin(std::string_view name, const Message& request) {
  const int32_t stream = client_->start(TestClient::grpc_headers(path_of(name)),
                                        TestClient::frame(request.SerializeAsString()));
  client_->flush();
  return stream;
}

Answer Side::call(std::string_view name, const Message& request) {
  return call_bytes(path_of(name), request.SerializeAsString(), find_method(name)->response);
}

Answer Side::call(const Operation& operation) {
  if (operation.kind == Kind::raw) {
    const Method* method = method_of_path(operation.name);
    return call_bytes(operation.name, operation.bytes, method ? method->response : nullptr);
  }
  const std::unique_ptr<Message> request(operation.request->New());
  request->CopyFrom(*operation.request);
  planter_.change_request(*request);
  Answer answer = call(operation.name, *request);
  planter_.change_answer(answer.response.get(), answer.text);
  return answer;
}

// ---- Watches.

WatchStream& Side::stream(size_t number) {
  const auto [place, added] = streams_.try_emplace(number);
  if (added) {
    place->second.stream =
        client_->start(TestClient::grpc_headers(path_of("Watch/Watch")), "", false);
  }
  return place->second;
}

void Side::send(size_t number, const WatchRequest& request) {
  client_->send(stream(number).stream, TestClient::frame(request.SerializeAsString()));
  client_->flush();
}

void Side::read_stream(WatchStream& stream) {
  TestAnswer& answer = client_->answer(stream.stream);
  size_t used = 0;
  while (true) {
    const auto frame = front::grpc::read_message_frame(std::string_view(answer.body).substr(used));
    if (!frame.complete) break;
    WatchResponse response;
    if (response.ParseFromArray(frame.message.data(), static_cast<int>(frame.message.size()))) {
      take(stream, response);
    } else {
      stream.lines[-1].emplace_back("a response that cannot be read");
    }
    used += front::grpc::kMessagePrefixBytes + frame.size;
  }
  answer.body.erase(0, used);
  if (answer.ended && !answer.headers["grpc-status"].empty()) {
    stream.lines[-1].push_back("the stream ended with " + answer.headers["grpc-status"] + " " +
                               answer.grpc_message());
    answer.headers["grpc-status"].clear();
  }
}

void Side::take(WatchStream& stream, const WatchResponse& response) {
  const int64_t id = response.watch_id();
  std::vector<std::string>& lines = stream.lines[id];
  if (response.fragment()) ++stream.fragments;
  if (response.events().empty() && !response.created() && !response.canceled()) {
    stream.progress = response.header().revision();
    return;
  }
  if (response.created() || response.canceled()) {
    WatchResponse head = response;
    head.clear_events();
    head.mutable_header()->clear_cluster_id();
    head.mutable_header()->clear_member_id();
    head.mutable_header()->clear_raft_term();
    lines.push_back(to_text(head, kShownBytes));
  }
  if (response.created()) {
    ++stream.created;
    if (!response.canceled()) stream.live[id] = response.header().revision();
  }
  if (response.canceled() && !response.created()) {
    ++stream.canceled;
    stream.live.erase(id);
  }
  for (const mvccpb::Event& event : response.events()) {
    if (event.kv().key() == kSentinelKey && event.type() == mvccpb::Event::PUT) {
      stream.sentinel[id] = std::max(stream.sentinel[id], event.kv().mod_revision());
    } else if (planter_.drops_event()) {
      continue;
    }
    lines.push_back(to_text(event, SIZE_MAX));
    if (response.header().revision() < event.kv().mod_revision()) {
      lines.emplace_back("a header before its event");
    }
  }
}

}  // namespace quorate::differential
