#include <gtest/gtest.h>

#include "app/etcdctl/go_text.h"
#include "app/etcdctl/shapes.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(GoText, Durations) {
  EXPECT_EQ(duration_text(nanoseconds(0)), "0s");
  EXPECT_EQ(duration_text(nanoseconds(17)), "17ns");
  EXPECT_EQ(duration_text(nanoseconds(979'237)), "979.237µs");
  EXPECT_EQ(duration_text(milliseconds(1500)), "1.5s");
  EXPECT_EQ(duration_text(microseconds(10'020)), "10.02ms");
  EXPECT_EQ(duration_text(seconds(3723)), "1h2m3s");
  EXPECT_EQ(duration_of("1m30s"), seconds(90));
  EXPECT_EQ(duration_of("1.5s"), milliseconds(1500));
  EXPECT_EQ(duration_of("5"), seconds(5));
  for (const char* wrong : {"", "s", "5x", "-1s", "1m30", "nan", "1e300h"}) {
    EXPECT_EQ(duration_of(wrong), std::nullopt) << wrong;
  }
}

TEST(GoText, Sizes) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(999), "999 B");
  EXPECT_EQ(size_text(20480), "20 kB");
  EXPECT_EQ(size_text(1183744), "1.2 MB");
  EXPECT_EQ(size_text(int64_t{2} << 30U), "2.1 GB");
}

TEST(GoText, QuotesWhatTerminalsMustNotSee) {
  EXPECT_EQ(quoted("a\"b\\\n\t\x01\x7f"), "\"a\\\"b\\\\\\n\\t\\x01\\x7f\"");
  EXPECT_EQ(quoted("\xff\xc3\xa4"), "\"\\xff\xc3\xa4\"");
  EXPECT_EQ(json_text("<a>&\"\xff\x01"), "\"\\u003ca\\u003e\\u0026\\\"\\ufffd\\u0001\"");
  EXPECT_EQ(hex_bytes("wa"), "\\x77\\x61");
}

TEST(GoText, FramesCentreTitlesAndWrapLongCells) {
  EXPECT_EQ(framed({"ID", "ERRORS"}, {{"12345", "memberID:7026481039975517645 alarm:NOSPACE "}}),
            "+-------+------------------------------+\n"
            "|  ID   |            ERRORS            |\n"
            "+-------+------------------------------+\n"
            "| 12345 | memberID:7026481039975517645 |\n"
            "|       |               alarm:NOSPACE  |\n"
            "+-------+------------------------------+\n");
}

TEST(Message, ReadsWhatItsShapeHasAndSkipsTheRest) {
  std::string pair;
  protobuf::write_bytes(1, "a", pair);
  protobuf::write_number(3, 7, pair);
  protobuf::write_number(99, 1, pair);
  std::string wire;
  protobuf::write_present(2, pair, wire);
  protobuf::write_present(2, pair, wire);
  protobuf::write_number(4, 2, wire);
  const auto message = Message::decode(kRangeShape, wire);
  ASSERT_TRUE(message);
  ASSERT_EQ(message->messages("kvs").size(), 2U);
  EXPECT_EQ(message->messages("kvs")[1].integer("mod_revision"), 7);
  EXPECT_EQ(message->integer("count"), 2);
  EXPECT_EQ(message->message("header"), nullptr);
  EXPECT_EQ(
      message->json(),
      R"({"kvs":[{"key":"YQ==","mod_revision":7},{"key":"YQ==","mod_revision":7}],"count":2})");
  EXPECT_FALSE(Message::decode(kRangeShape, wire.substr(0, wire.size() - 3)));
}

}  // namespace
}  // namespace quorate::app::etcdctl
