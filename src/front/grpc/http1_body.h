// front/grpc/http1_body.h: the body of an HTTP/1.1 request, by its length or in chunks (RFC 9112,
// sections 6 and 7). Takes hostile bytes; it never holds any itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quorate::front::grpc {

class Http1Body {
 public:
  void expect_length(size_t bytes);
  void expect_chunks() { state_ = State::chunk_head; }
  void close() { state_ = State::none; }
  bool open() const { return state_ != State::none; }
  bool done() const { return state_ == State::done; }
  bool malformed() const { return state_ == State::malformed; }
  // Takes what it can from the front of `input` and says how much that was; bytes of the body go
  // to the end of `body`. Nothing taken: more input is needed.
  size_t take(std::string_view input, std::string& body);

 private:
  enum class State : uint8_t {
    none,
    length,
    chunk_head,
    chunk_data,
    chunk_end,
    trailer,
    done,
    malformed
  };
  size_t take_bytes(std::string_view input, std::string& body);
  size_t take_line(std::string_view input);

  State state_ = State::none;
  size_t remaining_ = 0;  // of the body or of the chunk
  size_t trailer_bytes_ = 0;
};

}  // namespace quorate::front::grpc
