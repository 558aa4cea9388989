// fuzz/target.h: what a fuzz target is: a named function of bytes that must never crash.
//
// With clang's libFuzzer one binary holds all targets and QUORATE_FUZZ_TARGET chooses; without
// it corpus_main.cc plays the corpora and simple mutations of them. A target checks more than
// "no crash": what was decoded must encode to the same meaning again, what is refused must leave
// no trace. The bytes of an input are read through Bits, so that small changes stay small.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quorate::fuzz {

using Function = void (*)(std::string_view input);

struct Target {
  std::string_view name;
  Function function;
  std::string_view what;  // for people
};

// All of them, in the order of targets.cc.
const std::vector<Target>& targets();
const Target* find_target(std::string_view name);

// Reads an input front to back; at the end everything is zero or empty.
class Bits {
 public:
  explicit Bits(std::string_view input) : left_(input) {}
  bool empty() const { return left_.empty(); }
  uint8_t byte() {
    if (left_.empty()) return 0;
    const auto value = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    return value;
  }
  uint16_t pair() {
    const uint16_t low = byte();
    return static_cast<uint16_t>(low | (byte() << 8U));
  }
  // Two bytes of length, then the piece, shorter at the end of the input.
  std::string_view piece() {
    const size_t size = pair();
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() { return std::exchange(left_, {}); }

 private:
  std::string_view left_;
};

// The other direction, for seeds.
inline std::string piece_of(std::string_view text) {
  std::string made;
  made.push_back(static_cast<char>(text.size() & 0xffU));
  made.push_back(static_cast<char>(text.size() >> 8U));
  made.append(text);
  return made;
}

// The targets.
void peer_stream(std::string_view input);
void peer_frame(std::string_view input);
void snapshot_frames(std::string_view input);
void log_segments(std::string_view input);
void log_records(std::string_view input);
void store_rows(std::string_view input);
void bolt_file(std::string_view input);
void etcd_log(std::string_view input);
void small_files(std::string_view input);
void http(std::string_view input);
void http1_body(std::string_view input);
void json(std::string_view input);
void grpc_calls(std::string_view input);
void requests(std::string_view input);
void commands(std::string_view input);
void answers(std::string_view input);
void scenario(std::string_view input);
void history(std::string_view input);
void judged_history(std::string_view input);
void configuration(std::string_view input);
void transaction_text(std::string_view input);

}  // namespace quorate::fuzz
