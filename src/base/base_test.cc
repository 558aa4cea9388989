#include <gtest/gtest.h>

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/histogram.h"
#include "base/ring.h"
#include "base/rng.h"

namespace quorate {
namespace {

TEST(Crc32c, MatchesThePublishedCheckValueOnBothPaths) {
  EXPECT_EQ(crc32c(std::string_view("123456789")), 0xe3069283U);
  const std::string_view text = "123456789";
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  EXPECT_EQ(crc32c_portable(bytes), 0xe3069283U);
}

TEST(Crc32c, BothPathsAgreeAtEverySize) {
  Rng rng(4);
  std::vector<uint8_t> bytes(5000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.next());
  for (size_t size = 0; size <= bytes.size(); size += size < 700 ? 1 : 61) {
    const std::span<const uint8_t> piece = std::span(bytes).subspan(bytes.size() - size);
    const auto before = static_cast<uint32_t>(rng.next());
    ASSERT_EQ(crc32c(piece, before), crc32c_portable(piece, before)) << size;
  }
}

TEST(Crc32c, ContinuesAcrossPieces) {
  Rng rng(7);
  std::string text;
  for (int position = 0; position < 1000; ++position) {
    text.push_back(static_cast<char>(rng.below(256)));
  }
  const std::string_view whole = text;
  for (size_t cut = 0; cut <= whole.size(); cut += 37) {
    EXPECT_EQ(crc32c(whole.substr(cut), crc32c(whole.substr(0, cut))), crc32c(whole));
  }
}

TEST(Rng, IsTheSameEverywhere) {
  Rng rng(42);
  EXPECT_EQ(rng.next(), 1546998764402558742ULL);
  EXPECT_EQ(rng.next(), 6990951692964543102ULL);
}

TEST(Rng, StaysWithinBoundsAndReachesThem) {
  Rng rng(1);
  bool low = false;
  bool high = false;
  for (int draw = 0; draw < 1000; ++draw) {
    const uint64_t value = rng.between(3, 6);
    ASSERT_GE(value, 3U);
    ASSERT_LE(value, 6U);
    low |= value == 3;
    high |= value == 6;
  }
  EXPECT_TRUE(low && high);
}

TEST(Codec, ReadsBackWhatItWrote) {
  Encoder out;
  out.u8(9);
  out.u32(0xdeadbeef);
  out.u64(UINT64_MAX);
  out.varint(300);
  out.varint(UINT64_MAX);
  out.string("hello");
  const Bytes bytes = out.take();
  Decoder in(bytes.view());
  EXPECT_EQ(in.u8(), 9);
  EXPECT_EQ(in.u32(), 0xdeadbeefU);
  EXPECT_EQ(in.u64(), UINT64_MAX);
  EXPECT_EQ(in.varint(), 300U);
  EXPECT_EQ(in.varint(), UINT64_MAX);
  EXPECT_EQ(in.string(), "hello");
  EXPECT_TRUE(in.finished());
}

TEST(Codec, RefusesTruncationOverlongVarintsAndLyingLengths) {
  Encoder out;
  out.string("hello");
  const Bytes bytes = out.take();
  for (size_t size = 0; size < bytes.size(); ++size) {
    Decoder in(bytes.view().substr(0, size));
    in.string();
    EXPECT_FALSE(in.ok()) << size;
  }
  Decoder overlong(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
  overlong.varint();
  EXPECT_FALSE(overlong.ok());
  Encoder liar;
  liar.varint(UINT64_MAX);
  Decoder in(liar.text());
  in.string();
  EXPECT_FALSE(in.ok());
}

TEST(Bytes, SlicesShareAndOutliveTheOriginal) {
  Bytes slice;
  {
    const Bytes whole = Bytes::adopt(std::string(100, 'x') + "tail");
    slice = whole.slice(100, 4);
  }
  EXPECT_EQ(slice.view(), "tail");
  const Bytes copy = slice;
  EXPECT_EQ(copy.data(), slice.data());
  EXPECT_TRUE(Bytes().empty());
}

TEST(Ring, DoesWhatADequeDoes) {
  Rng rng(3);
  Ring<std::string> ring;
  std::deque<std::string> expected;
  for (int step = 0; step < 5000; ++step) {
    const uint64_t choice = rng.below(100);
    if (choice < 50) {
      const std::string text(rng.below(40), 'x');
      ring.push_back(text + std::to_string(step));
      expected.push_back(text + std::to_string(step));
    } else if (choice < 98 && !expected.empty()) {
      const bool front = rng.below(2) == 0;
      front ? ring.pop_front() : ring.pop_back();
      front ? expected.pop_front() : expected.pop_back();
    } else if (choice == 98) {
      ring.clear();
      expected.clear();
    } else {
      Ring<std::string> copy = ring;
      ring = std::move(copy);
    }
    ASSERT_EQ(ring.size(), expected.size());
    size_t place = 0;
    for (const std::string& element : ring) ASSERT_EQ(element, expected[place++]);
  }
}

TEST(Histogram, counts_by_bounds) {
  DiskTimes times;
  times.add(std::chrono::nanoseconds(-5));
  times.add(std::chrono::milliseconds(1));
  times.add(std::chrono::milliseconds(1) + std::chrono::nanoseconds(1));
  times.add(std::chrono::seconds(100));
  EXPECT_EQ(times.count(0), 2U);
  EXPECT_EQ(times.count(1), 1U);
  EXPECT_EQ(times.count(DiskTimes::bounds().size()), 1U);
  EXPECT_EQ(times.nanoseconds(), 100'002'000'001U);
}

TEST(Base64, known_texts) {
  const auto base64 = [](std::string_view bytes) {
    std::string text;
    append_base64(bytes, text);
    return text;
  };
  EXPECT_EQ(base64("a"), "YQ==");
  EXPECT_EQ(base64("ab"), "YWI=");
  EXPECT_EQ(base64("abc"), "YWJj");
}

TEST(Base64, all_lengths_come_back) {
  std::string bytes;
  for (int length = 0; length < 300; ++length) {
    std::string text;
    append_base64(bytes, text);
    EXPECT_EQ(text.size() % 4, 0U);
    std::string back;
    EXPECT_TRUE(decode_base64(text, back));
    EXPECT_EQ(back, bytes);
    bytes.push_back(static_cast<char>(length * 7));
  }
}

}  // namespace
}  // namespace quorate
