#include "world/real/wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/rng.h"
#include "world/real/address.h"
#include "world/real/receive_buffer.h"
#include "world/real/send_queue.h"

namespace quorate::world {
namespace {

std::span<const uint8_t, kHelloBytes> hello_span(const std::string& text) {
  return std::span<const uint8_t, kHelloBytes>(reinterpret_cast<const uint8_t*>(text.data()),
                                               kHelloBytes);
}

TEST(Wire, HelloSurvivesTheTripAndNoDamagedBitDoes) {
  const Hello hello{.verdict = Verdict::other_member,
                    .cluster_id = 0x1122334455667788,
                    .self = NodeId{7},
                    .expected = NodeId{9}};
  const std::string text = encode_hello(hello);
  ASSERT_EQ(text.size(), kHelloBytes);
  EXPECT_EQ(decode_hello(hello_span(text)).value(), hello);
  for (size_t bit = 0; bit < kHelloBytes * 8; ++bit) {
    std::string damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const auto decoded = decode_hello(hello_span(damaged));
    // A damaged version looks like another version, which is refused as such.
    EXPECT_TRUE(!decoded.has_value() || decoded->version != kWireVersion) << bit;
  }
}

TEST(Wire, AQuestionIsNoHelloAndADamagedOneIsNeither) {
  const std::string question = encode_question();
  ASSERT_EQ(question.size(), kHelloBytes);
  EXPECT_TRUE(is_question(hello_span(question)));
  EXPECT_FALSE(decode_hello(hello_span(question)).has_value());
  for (size_t bit = 0; bit < kHelloBytes * 8; ++bit) {
    std::string damaged = question;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(is_question(hello_span(damaged))) << bit;
    EXPECT_FALSE(decode_hello(hello_span(damaged)).has_value()) << bit;
  }
}

TEST(Wire, AnIntroductionClaimsNoMoreThanItMay) {
  const std::string text = encode_introduction(Bytes(std::string_view("who we are")));
  const auto header_of = [](const std::string& bytes) {
    return decode_introduction_header(std::span<const uint8_t, kIntroductionHeaderBytes>(
        reinterpret_cast<const uint8_t*>(bytes.data()), kIntroductionHeaderBytes));
  };
  ASSERT_TRUE(header_of(text).has_value());
  EXPECT_EQ(header_of(text)->size, 10U);
  std::string huge = text;
  huge[10] = 2;  // 128 KiB
  EXPECT_EQ(header_of(huge).error(), WireFault::too_long);
  std::string other = text;
  other[4] = 2;  // the version
  EXPECT_EQ(header_of(other).error(), WireFault::foreign);
}

// Moves everything the queue offers through pipes of random widths into frames.
std::vector<Bytes> pass(SendQueue& queue, Rng& rng) {
  ReceiveBuffer buffer;
  std::vector<Bytes> frames;
  while (!queue.empty()) {
    std::array<iovec, 8> pieces;
    const size_t count = queue.gather(pieces, true);
    std::string offered;
    for (size_t piece = 0; piece < count; ++piece) {
      offered.append(static_cast<const char*>(pieces[piece].iov_base), pieces[piece].iov_len);
    }
    const size_t taken = rng.between(1, offered.size());
    queue.sent(taken);
    for (size_t moved = 0; moved < taken;) {
      const std::span<uint8_t> space = buffer.space();
      const size_t step = std::min({space.size(), taken - moved, size_t{rng.between(1, 400'000)}});
      std::memcpy(space.data(), offered.data() + moved, step);
      buffer.received(step);
      moved += step;
      while (true) {
        auto frame = buffer.take_frame();
        EXPECT_TRUE(frame.has_value());
        if (!frame.has_value() || !frame->has_value()) break;
        frames.push_back(std::move(**frame));
      }
    }
  }
  return frames;
}

TEST(Wire, FramesOfAllSizesPassWholeAndInOrderWithinALane) {
  Rng rng(11);
  for (int round = 0; round < 20; ++round) {
    SendQueue queue;
    std::array<std::vector<std::string>, 3> sent;
    for (int frame = 0; frame < 15; ++frame) {
      const size_t lane = rng.below(3);
      const size_t sizes[] = {0, 1, 100, 70'000, 262'135, 262'136, 500'000};
      std::string payload(sizes[rng.below(7)], static_cast<char>('0' + lane));
      if (!payload.empty()) payload.back() = static_cast<char>(frame);
      sent[lane].push_back(payload);
      ASSERT_TRUE(queue.add(static_cast<Lane>(lane), Bytes(payload)));
    }
    size_t total = 0;
    std::vector<std::string> received;
    for (const Bytes& frame : pass(queue, rng)) received.push_back(frame.str());
    for (const auto& lane : sent) {
      size_t position = 0;
      for (const std::string& frame : lane) {
        while (position < received.size() && received[position] != frame) ++position;
        ASSERT_LT(position, received.size()) << "lost or out of order";
        ++position;
      }
      total += lane.size();
    }
    EXPECT_EQ(total, received.size());
  }
}

TEST(Wire, UrgentOvertakesAtTheNextFrameBoundary) {
  SendQueue queue;
  ASSERT_TRUE(queue.add(Lane::bulk, Bytes(std::string(1000, 'b'))));
  ASSERT_TRUE(queue.add(Lane::bulk, Bytes(std::string(1000, 'b'))));
  EXPECT_EQ(queue.sent(500), 0U);
  ASSERT_TRUE(queue.add(Lane::normal, Bytes(std::string("n"))));
  ASSERT_TRUE(queue.add(Lane::urgent, Bytes(std::string("u"))));
  std::array<iovec, 16> pieces;
  const size_t count = queue.gather(pieces, false);
  ASSERT_EQ(count, 5U);  // the rest of the first, then urgent, then normal; no second bulk
  EXPECT_EQ(pieces[0].iov_len, 509U);
  EXPECT_EQ(*static_cast<const char*>(pieces[2].iov_base), 'u');
  EXPECT_EQ(*static_cast<const char*>(pieces[4].iov_base), 'n');
  EXPECT_EQ(queue.sent(509 + 10 + 10), 1U);
  EXPECT_EQ(queue.gather(pieces, false), 0U);
  EXPECT_EQ(queue.gather(pieces, true), 2U);
}

TEST(Wire, UrgentPassesBetweenThePiecesOfALargeFrame) {
  SendQueue queue;
  ASSERT_TRUE(queue.add(Lane::normal, Bytes(std::string(3 * kPieceBytesMax, 'n'))));
  EXPECT_EQ(queue.sent(100), 0U);
  ASSERT_TRUE(queue.add(Lane::urgent, Bytes(std::string("u"))));
  std::array<iovec, 16> pieces;
  ASSERT_EQ(queue.gather(pieces, false), 7U);
  EXPECT_EQ(pieces[0].iov_len, kPieceBytesMax + kFrameHeaderBytes - 100);
  EXPECT_EQ(*static_cast<const char*>(pieces[2].iov_base), 'u');
  EXPECT_EQ(pieces[4].iov_len, kPieceBytesMax);
}

TEST(Wire, AFrameWithoutEndIsGivenUpAtTheLimit) {
  ReceiveBuffer buffer;
  const Bytes piece(std::string(kPieceBytesMax, 'x'));
  const FrameHeaderBytes header = encode_frame_header(Lane::normal, true, piece);
  const auto feed = [&](const uint8_t* bytes, size_t size) {
    while (size > 0) {
      const std::span<uint8_t> space = buffer.space();
      const size_t step = std::min(space.size(), size);
      std::memcpy(space.data(), bytes, step);
      buffer.received(step);
      bytes += step;
      size -= step;
    }
  };
  std::optional<WireFault> fault;
  for (size_t sent = 0; sent <= kFrameBytesMax && !fault; sent += kPieceBytesMax) {
    feed(header.data(), header.size());
    feed(piece.data(), piece.size());
    const auto frame = buffer.take_frame();
    if (!frame.has_value()) fault = frame.error();
  }
  EXPECT_EQ(fault, WireFault::too_long);
}

TEST(Wire, QueuesAreBoundedEachByItself) {
  SendQueue queue;
  const Bytes chunk(std::string(size_t{1} << 20U, 'x'));
  size_t taken = 0;
  while (queue.add(Lane::urgent, chunk)) ++taken;
  EXPECT_EQ(taken, 7U);
  EXPECT_TRUE(queue.add(Lane::normal, chunk));
}

TEST(Wire, HostileHeadersAreRefusedBeforeAnythingIsAllocated) {
  ReceiveBuffer buffer;
  const auto feed = [](ReceiveBuffer& into, std::string_view bytes) {
    std::memcpy(into.space().data(), bytes.data(), bytes.size());
    into.received(bytes.size());
  };
  feed(buffer, std::string_view("\x01\x00\x01\x00\x00zzzz", 9));  // 64 KiB + 1
  EXPECT_EQ(buffer.take_frame().error(), WireFault::too_long);
  ReceiveBuffer lanes;
  feed(lanes, std::string_view("\x01\x00\x00\x00\x03zzzz", 9));
  EXPECT_EQ(lanes.take_frame().error(), WireFault::unknown_lane);
  ReceiveBuffer damaged;
  feed(damaged, std::string_view("\x01\x00\x00\x00\x00zzzzx", 10));
  EXPECT_EQ(damaged.take_frame().error(), WireFault::damaged);
}

TEST(Address, HostAndPortComeApart) {
  EXPECT_EQ(parse_host_port("[::1]:80")->host, "::1");
  EXPECT_EQ(parse_host_port("localhost:80")->host, "localhost");
  EXPECT_EQ(parse_host_port(":80")->port, "80");
  for (const char* bad :
       {"", "host", "host:", "host:99999", "host:-1", "::1:80", "host:8x", "[::1"}) {
    EXPECT_FALSE(parse_host_port(bad).has_value()) << bad;
  }
  EXPECT_TRUE(is_numeric_host("127.0.0.1"));
  EXPECT_FALSE(is_numeric_host("localhost"));
  EXPECT_EQ(resolve("127.0.0.1:80", false)->at(0).text(), "127.0.0.1:80");
  EXPECT_EQ(resolve("[::1]:80", false)->at(0).text(), "[::1]:80");
}

}  // namespace
}  // namespace quorate::world
