// What posted bodies go through before they are messages: how they are framed, cut and read.
#include <algorithm>

#include "base/check.h"
#include "front/etcd/json_codec.h"
#include "front/grpc/http1_body.h"
#include "front/grpc/json_split.h"
#include "target.h"

namespace quorate::fuzz {
namespace {

using front::etcd::MessageId;

struct Taken {
  std::string body;
  bool done = false;
  bool malformed = false;
  bool operator==(const Taken&) const = default;
};

// As a session does it: what was not taken stays in front of what comes next.
Taken take(bool chunked, size_t length, const std::vector<std::string_view>& pieces) {
  front::grpc::Http1Body body;
  if (chunked) {
    body.expect_chunks();
  } else {
    body.expect_length(length);
  }
  Taken taken;
  std::string input;
  for (const std::string_view piece : pieces) {
    input += piece;
    const size_t size = body.take(input, taken.body);
    CHECK(size <= input.size(), "no more is taken than there is");
    input.erase(0, size);
  }
  taken.done = body.done();
  taken.malformed = body.malformed();
  return taken;
}

std::vector<size_t> ends(const std::vector<std::string_view>& pieces) {
  std::vector<size_t> found;
  front::grpc::JsonSplit split;
  std::string input;
  for (const std::string_view piece : pieces) {
    input += piece;
    while (const auto end = split.find_end(input)) {
      CHECK(*end > 0 && *end <= input.size(), "a value has an end within what is there");
      found.push_back(*end);
      input.erase(0, *end);
    }
  }
  return found;
}

}  // namespace

// However a body is cut on its way, it is the same body.
void http1_body(std::string_view input) {
  Bits bits(input);
  const bool chunked = (bits.byte() & 1U) != 0;
  const size_t length = bits.pair();
  std::vector<std::string_view> pieces;
  std::string whole;
  while (!bits.empty()) {
    pieces.push_back(bits.piece());
    whole += pieces.back();
  }
  const Taken cut = take(chunked, length, pieces);
  CHECK(cut == take(chunked, length, {whole}), "a body does not depend on how it comes");
  CHECK(cut.body.size() <= whole.size(), "a body has no more bytes than were sent");
  if (!chunked) CHECK(cut.done == (cut.body.size() == length), "a body is as long as it says");
}

// What can be read can be written, reads as the same again, and is found among others.
void json(std::string_view input) {
  Bits bits(input);
  const size_t count = front::etcd::json_message_count();
  const auto id = static_cast<MessageId>(1 + bits.byte() % count);
  const size_t cut = bits.pair();
  const std::string_view text = bits.rest();
  std::string message;
  if (front::etcd::json_to_message(id, text, message)) {
    CHECK(message.empty(), "what is refused leaves no message");
    return;
  }
  const std::string written = front::etcd::message_to_json(id, message);
  std::string again;
  CHECK(!front::etcd::json_to_message(id, written, again), "what was written can be read");
  CHECK(front::etcd::message_to_json(id, again) == written, "and says the same");
  if (front::grpc::is_blank(text)) return;
  const std::string three = std::string(text) + written + std::string(text);
  const size_t at = std::min(cut, three.size());
  const auto found =
      ends({std::string_view(three).substr(0, at), std::string_view(three).substr(at)});
  CHECK(found.size() == 3 && found[1] >= written.size(), "values end where they end");
}

}  // namespace quorate::fuzz
