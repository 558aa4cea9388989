// check/texts.h: keys and values, each kept once and named by a small number.
//
// Checkers compare millions of them for equality; numbers make that one instruction. Number 0 is
// the empty text. Numbers follow the order of first use, so they mean the same in every run.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::check {

using TextId = uint32_t;
inline constexpr TextId kNoText = ~TextId{0};  // absent, which is not the empty text

class Texts {
 public:
  Texts();
  TextId add(std::string_view text);
  // kNoText when it was never added.
  TextId find(std::string_view text) const;
  std::string_view view(TextId id) const { return views_[id]; }
  size_t size() const { return views_.size(); }
  size_t bytes() const;  // of memory, roughly

 private:
  size_t slot_of(std::string_view text, uint64_t hash) const;
  void grow();
  std::string_view keep(std::string_view text);

  std::vector<std::string_view> views_;
  std::vector<uint64_t> hashes_;
  std::vector<TextId> slots_;       // open addressing, a power of two, at most half full
  std::deque<std::string> blocks_;  // the bytes; a block never moves
  size_t room_ = 0;                 // left in the last block
  size_t block_bytes_ = 0;
};

// For tables that are looked up and never walked through. Not for hostile input that must not
// collide: a checker of files may become slow, not wrong.
uint64_t hash_bytes(std::string_view bytes);
uint64_t mix(uint64_t value);

}  // namespace quorate::check
