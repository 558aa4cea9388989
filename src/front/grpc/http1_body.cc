#include "front/grpc/http1_body.h"

#include <algorithm>
#include <charconv>

#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

// The size before an extension, which nobody here knows; false: not a size.
bool parse_chunk_size(std::string_view line, size_t& size) {
  std::string_view digits = line.substr(0, line.find(';'));
  while (!digits.empty() && (digits.back() == ' ' || digits.back() == '\t')) {
    digits.remove_suffix(1);
  }
  uint32_t value = 0;  // more than 4 GiB in a chunk is nonsense here
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, value, 16);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end) return false;
  size = value;
  return true;
}

}  // namespace

void Http1Body::expect_length(size_t bytes) {
  remaining_ = bytes;
  state_ = bytes == 0 ? State::done : State::length;
}

size_t Http1Body::take(std::string_view input, std::string& body) {
  size_t taken = 0;
  while (taken < input.size() && state_ != State::done && state_ != State::malformed) {
    const std::string_view rest = input.substr(taken);
    const bool bytes = state_ == State::length || state_ == State::chunk_data;
    const size_t step = bytes ? take_bytes(rest, body) : take_line(rest);
    if (step == 0) break;
    taken += step;
  }
  return taken;
}

size_t Http1Body::take_bytes(std::string_view input, std::string& body) {
  const size_t size = std::min(remaining_, input.size());
  body.append(input.substr(0, size));
  remaining_ -= size;
  if (remaining_ == 0) state_ = state_ == State::length ? State::done : State::chunk_end;
  return size;
}

size_t Http1Body::take_line(std::string_view input) {
  const size_t end = input.find(kLineEnd);
  const size_t size = std::min(end, input.size());
  const size_t line_max = state_ == State::trailer ? kRequestHeadBytesMax : kChunkLineBytesMax;
  if (size > line_max || (state_ == State::chunk_end && size > kLineEnd.size())) {
    state_ = State::malformed;
    return 0;
  }
  if (end == std::string_view::npos) return 0;
  const std::string_view line = input.substr(0, end);
  if (state_ == State::chunk_head) {
    if (!parse_chunk_size(line, remaining_)) {
      state_ = State::malformed;
    } else {
      state_ = remaining_ == 0 ? State::trailer : State::chunk_data;
      trailer_bytes_ = 0;
    }
  } else if (state_ == State::chunk_end) {
    state_ = line.empty() ? State::chunk_head : State::malformed;
  } else {
    trailer_bytes_ += line.size();
    if (line.empty()) state_ = State::done;
    if (trailer_bytes_ > kRequestHeadBytesMax) state_ = State::malformed;
  }
  return end + kLineEnd.size();
}

}  // namespace quorate::front::grpc
