#include "load/zookeeper_wire.h"

#include <array>
#include <utility>

namespace quorate::load::zookeeper {
namespace {

enum class Operation : int32_t { create = 1, get_data = 4, set_data = 5 };
constexpr int32_t kAllPermissions = 31;
constexpr int32_t kAnyVersion = -1;
constexpr size_t kPasswordBytes = 16;

void append_number(std::string& output, uint64_t value, unsigned bytes) {
  for (unsigned left = bytes; left > 0; --left) {
    output.push_back(static_cast<char>(value >> (8 * (left - 1))));
  }
}

void append_int(std::string& output, int32_t value) {
  append_number(output, static_cast<uint32_t>(value), 4);
}

void append_text(std::string& output, std::string_view text) {
  append_int(output, static_cast<int32_t>(text.size()));
  output.append(text);
}

// A frame whose length is known when it is complete.
class Frame {
 public:
  explicit Frame(std::string& output) : output_(output), start_(output.size()) {
    append_int(output_, 0);
  }
  Frame(std::string& output, int32_t number, Operation operation) : Frame(output) {
    append_int(output_, number);
    append_int(output_, static_cast<int32_t>(operation));
  }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame() {
    const size_t size = output_.size() - start_ - 4;
    for (unsigned place = 0; place < 4; ++place) {
      output_[start_ + place] = static_cast<char>(size >> (8 * (3 - place)));
    }
  }

 private:
  std::string& output_;
  size_t start_;
};

// Takes a number off the front; nothing: there is none.
std::optional<int32_t> take_int(std::string_view& input) {
  if (input.size() < 4) return std::nullopt;
  uint32_t value = 0;
  for (size_t place = 0; place < 4; ++place) {
    value = value << 8U | static_cast<uint8_t>(input[place]);
  }
  input.remove_prefix(4);
  return static_cast<int32_t>(value);
}

bool skip(std::string_view& input, size_t bytes) {
  if (input.size() < bytes) return false;
  input.remove_prefix(bytes);
  return true;
}

}  // namespace

void append_connect(std::string& output, Duration session_timeout) {
  const Frame frame(output);
  append_int(output, 0);        // version of the protocol
  append_number(output, 0, 8);  // the newest change seen: none
  append_int(output, static_cast<int32_t>(session_timeout / std::chrono::milliseconds(1)));
  append_number(output, 0, 8);  // a new session
  append_text(output, std::string(kPasswordBytes, '\0'));
  output.push_back('\0');  // a server that only reads will not do
}

void append_create(std::string& output, int32_t number, std::string_view path,
                   std::string_view data) {
  const Frame frame(output, number, Operation::create);
  append_text(output, path);
  append_text(output, data);
  append_int(output, 1);  // one rule about who may
  append_int(output, kAllPermissions);
  append_text(output, "world");
  append_text(output, "anyone");
  append_int(output, 0);  // an ordinary node that stays
}

void append_get(std::string& output, int32_t number, std::string_view path) {
  const Frame frame(output, number, Operation::get_data);
  append_text(output, path);
  output.push_back('\0');  // no watch
}

void append_set(std::string& output, int32_t number, std::string_view path, std::string_view data) {
  const Frame frame(output, number, Operation::set_data);
  append_text(output, path);
  append_text(output, data);
  append_int(output, kAnyVersion);
}

Cut take_frame(std::string_view& input, std::string_view& frame) {
  std::string_view rest = input;
  const auto size = take_int(rest);
  if (!size) return Cut::partial;
  if (*size < 0 || static_cast<size_t>(*size) > kFrameBytesMax) return Cut::malformed;
  if (rest.size() < static_cast<size_t>(*size)) return Cut::partial;
  frame = rest.substr(0, static_cast<size_t>(*size));
  input = rest.substr(static_cast<size_t>(*size));
  return Cut::whole;
}

bool grants_session(std::string_view frame) {
  if (!take_int(frame)) return false;  // version of the protocol
  const auto timeout = take_int(frame);
  return timeout && *timeout > 0 && frame.size() >= 8 + 4 + kPasswordBytes;
}

std::optional<Reply> read_reply(std::string_view frame) {
  Reply reply;
  const auto number = take_int(frame);
  if (!number || !skip(frame, 8)) return std::nullopt;  // the number of the change
  const auto error = take_int(frame);
  if (!error) return std::nullopt;
  reply.number = *number;
  reply.error = *error;
  reply.body = frame;
  return reply;
}

std::optional<std::string_view> read_data(std::string_view body) {
  const auto size = take_int(body);
  if (!size || *size < 0 || body.size() < static_cast<size_t>(*size) + kStatBytes) {
    return std::nullopt;
  }
  return body.substr(0, static_cast<size_t>(*size));
}

std::string error_text(int32_t error) {
  static constexpr std::array<std::pair<int32_t, std::string_view>, 9> kNames = {{
      {-4, "ConnectionLoss"},
      {-5, "MarshallingError"},
      {-7, "OperationTimeout"},
      {-8, "BadArguments"},
      {-101, "NoNode"},
      {-102, "NoAuth"},
      {-103, "BadVersion"},
      {kNodeExists, "NodeExists"},
      {-112, "SessionExpired"},
  }};
  std::string text = "an error";
  for (const auto& [number, name] : kNames) {
    if (number == error) text = name;
  }
  return text + " (" + std::to_string(error) + ")";
}

}  // namespace quorate::load::zookeeper
