#include "front/grpc/output.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/rng.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

std::string gathered(const Output& output, size_t runs_max = 64) {
  std::vector<iovec> runs(runs_max);
  runs.resize(output.gather(runs));
  std::string bytes;
  for (const iovec& run : runs) bytes.append(static_cast<const char*>(run.iov_base), run.iov_len);
  return bytes;
}

Bytes body(char letter, size_t size) { return Bytes(std::string_view(std::string(size, letter))); }

TEST(OutputTest, TextAndBodiesKeepTheirOrder) {
  Output output;
  output.append("one ");
  output.share(body('a', 3));
  output.share(body('b', 2));
  output.text() += " two";
  EXPECT_EQ(output.size(), 13U);
  EXPECT_EQ(gathered(output), "one aaabb two");
  EXPECT_EQ(output.joined(), "one aaabb two");
  EXPECT_EQ(gathered(output), "one aaabb two");
}

TEST(OutputTest, LargeBodiesAreSharedAndSmallOnesCopied) {
  const Bytes large = body('l', kSharedBodyBytesMin);
  const Bytes small = body('s', kSharedBodyBytesMin - 1);
  Output output;
  output.add("head", large);
  output.add("head", small);
  std::array<iovec, 8> runs{};
  ASSERT_EQ(output.gather(runs), 3U);
  EXPECT_EQ(runs[1].iov_base, static_cast<const void*>(large.data()));
  EXPECT_EQ(runs[2].iov_len, 4 + small.size());
  Output next;
  output.move(4 + large.size(), next);
  ASSERT_EQ(next.gather(runs), 2U);
  EXPECT_EQ(runs[1].iov_base, static_cast<const void*>(large.data()));
}

TEST(OutputTest, FewRunsGatherTheBeginning) {
  Output output;
  std::string whole;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    output.append("-");
    output.share(body(letter, 5));
    whole += "-" + std::string(5, letter);
  }
  for (size_t runs = 3; runs < 60; ++runs) {
    const std::string first = gathered(output, runs);
    EXPECT_FALSE(first.empty());
    EXPECT_EQ(first, whole.substr(0, first.size()));
  }
}

// Against a string that does the same.
TEST(OutputTest, AnyOrderOfStepsLosesNothing) {
  Rng rng(7);
  Output output;
  Output other;
  std::string model;
  std::string other_model;
  for (int step = 0; step < 20'000; ++step) {
    const size_t size = rng.below(3) == 0 ? rng.below(6000) : rng.below(40);
    const std::string bytes(size, static_cast<char>('a' + rng.below(26)));
    const size_t taken = rng.below(std::min<size_t>(output.size(), 9000) + 1);
    switch (rng.below(6)) {
      case 0:
        output.append(bytes);
        model += bytes;
        break;
      case 1:
        output.share(Bytes(std::string_view(bytes)));
        model += bytes;
        break;
      case 2:
        output.add("#", Bytes(std::string_view(bytes)));
        model += "#" + bytes;
        break;
      case 3:
        output.move(taken, other);
        other_model += model.substr(0, taken);
        model.erase(0, taken);
        break;
      case 4: {
        std::string copied;
        output.copy(taken, copied);
        ASSERT_EQ(copied, model.substr(0, taken));
        model.erase(0, taken);
        break;
      }
      default:
        output.drop(taken);
        model.erase(0, taken);
        break;
    }
    ASSERT_EQ(output.size(), model.size());
    if (step % 50 != 0) continue;
    ASSERT_EQ(gathered(output, 20'000), model);
    ASSERT_EQ(other.joined(), other_model);
    other.drop(other.size());
    other.forget_large();
    other_model.clear();
  }
}

TEST(OutputTest, AQueueThatNeverRunsEmptyStaysSmall) {
  Output output;
  output.append("never sent");
  for (int round = 0; round < 100'000; ++round) {
    output.append(std::string(100, 't'));
    output.share(body('b', 10));
    output.drop(110);
  }
  EXPECT_EQ(output.size(), 10U);
  EXPECT_LE(output.text().capacity(), 8 * kKeptBufferBytesMax);
}

}  // namespace
}  // namespace quorate::front::grpc
