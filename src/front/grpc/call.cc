#include "front/grpc/call.h"

#include "base/check.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

void empty_buffer(std::string& buffer) {
  if (buffer.capacity() > kKeptBufferBytesMax) {
    std::string().swap(buffer);
  } else {
    buffer.clear();
  }
}

}  // namespace

void Metadata::clear() {
  token.clear();
  version.clear();
  encoding.clear();
  needs_leader = false;
}

void Metadata::take_passed_on(std::string_view name, std::string_view value) {
  if (name == "token") token = value;
  if (name == "authorization" && token.empty()) token = value;
  if (name == "hasleader") needs_leader = value == "true";
  if (name == "client-api-version") version = value;
}

void Call::take_output(size_t size, Output& target) {
  output.move(size, target);
  if (output.empty()) output.forget_large();
}

void Call::reset() {
  connection = nullptr;
  method = nullptr;
  stream = 0;
  deadline = kNever;
  tag = 0;
  waiter = nullptr;
  ferried = crossed = counted = false;
  away = 0;
  http_method = HttpMethod::none;
  grpc_content = posted = timeout_malformed = headers_done = complete = dispatched = held =
      remote_closed = false;
  header_fields = 0;
  fields = {};
  header_bytes = 0;
  path.clear();
  content_type.clear();
  metadata.clear();
  empty_buffer(inbound);
  empty_buffer(json);
  split.reset();
  host.clear();
  origin.clear();
  submitted = deferred = finished = page = streamed = false;
  http_status = 200;
  page_type.clear();
  status.code = Code::ok;
  status.text.clear();
  output.clear();
  output.forget_large();
}

Call& CallTable::acquire(Bearer& connection) {
  if (free_.empty()) {
    const auto slot = static_cast<uint32_t>(calls_.size());
    calls_.push_back(std::make_unique<Call>());
    calls_.back()->id = CallId{slot, 0};
    free_.push_back(slot);
  }
  Call& call = *calls_[free_.back()];
  free_.pop_back();
  ++call.id.generation;
  call.connection = &connection;
  return call;
}

void CallTable::release(Call& call) {
  CHECK(call.connection != nullptr, "a call is released once");
  call.reset();
  free_.push_back(call.id.slot);
}

Call* CallTable::find(CallId id) const {
  if (id.slot >= calls_.size()) return nullptr;
  Call* call = calls_[id.slot].get();
  if (call->connection == nullptr || call->id.generation != id.generation) return nullptr;
  return call;
}

MessageFrame read_message_frame(std::string_view inbound) {
  MessageFrame frame;
  if (inbound.size() < kMessagePrefixBytes) return frame;
  frame.has_prefix = true;
  frame.compressed = inbound[0] != 0;
  for (size_t position = 1; position < kMessagePrefixBytes; ++position) {
    frame.size = frame.size << 8U | static_cast<unsigned char>(inbound[position]);
  }
  if (inbound.size() - kMessagePrefixBytes >= frame.size) {
    frame.complete = true;
    frame.message = inbound.substr(kMessagePrefixBytes, frame.size);
  }
  return frame;
}

void append_message_prefix(size_t message_bytes, std::string& output) {
  CHECK(message_bytes <= UINT32_MAX, "a gRPC message has a 32-bit length");
  const auto size = static_cast<uint32_t>(message_bytes);
  const std::array<char, kMessagePrefixBytes> prefix = {
      0, static_cast<char>(size >> 24U), static_cast<char>(size >> 16U),
      static_cast<char>(size >> 8U), static_cast<char>(size)};
  output.append(prefix.data(), prefix.size());
}

}  // namespace quorate::front::grpc
