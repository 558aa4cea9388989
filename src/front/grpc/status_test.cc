#include "front/grpc/status.h"

#include <gtest/gtest.h>

#include "front/grpc/call.h"
#include "front/grpc/limits.h"
#include "front/grpc/listener.h"

namespace quorate::front::grpc {
namespace {

TEST(Status, percent_encoding_goes_both_ways) {
  EXPECT_EQ(percent_encode("plain text, with: punctuation"), "plain text, with: punctuation");
  EXPECT_EQ(percent_encode("100%"), "100%25");
  EXPECT_EQ(percent_encode("a\nb\x7f"), "a%0Ab%7F");
  EXPECT_EQ(percent_decode(percent_encode("gr\xc3\xbc\xc3\x9f\x01")), "gr\xc3\xbc\xc3\x9f\x01");
  EXPECT_EQ(percent_decode("%"), "%");
  EXPECT_EQ(percent_decode("%zz"), "%zz");
  EXPECT_EQ(percent_encode(std::string(5000, 'a')).size(), kStatusTextBytesMax);
}

TEST(Status, timeouts) {
  EXPECT_EQ(parse_timeout("5S"), Duration(std::chrono::seconds(5)));
  EXPECT_EQ(parse_timeout("250m"), Duration(std::chrono::milliseconds(250)));
  EXPECT_EQ(parse_timeout("7u"), Duration(std::chrono::microseconds(7)));
  EXPECT_EQ(parse_timeout("0n"), Duration(0));
  EXPECT_EQ(parse_timeout("2M"), Duration(std::chrono::minutes(2)));
  EXPECT_EQ(parse_timeout("99999999H"), parse_timeout("99999998H"));  // both capped
  for (const char* wrong : {"", "S", "5", "5s", "-5S", "123456789S", "5 S", "1.5S"}) {
    EXPECT_FALSE(parse_timeout(wrong)) << wrong;
  }
}

TEST(Status, every_code_has_a_name_and_a_number) {
  EXPECT_EQ(code_name(Code::unavailable), "Unavailable");
  EXPECT_EQ(code_number(Code::unauthenticated), "16");
  EXPECT_EQ(code_name(Code::ok), "OK");
}

TEST(MessageFrame, arrives_in_pieces) {
  std::string framed;
  append_message_prefix(300, framed);
  framed.append(300, 'x');
  for (size_t size = 0; size <= framed.size(); ++size) {
    const MessageFrame frame = read_message_frame(std::string_view(framed).substr(0, size));
    EXPECT_EQ(frame.has_prefix, size >= kMessagePrefixBytes);
    EXPECT_EQ(frame.complete, size == framed.size());
  }
  framed.append("more");
  EXPECT_EQ(read_message_frame(framed).message, std::string(300, 'x'));
}

TEST(SplitAddress, forms) {
  EXPECT_EQ(split_address("127.0.0.1:2379")->host, "127.0.0.1");
  EXPECT_EQ(split_address("[::1]:2379")->host, "::1");
  EXPECT_EQ(split_address(":2379")->host, "");
  EXPECT_EQ(split_address("localhost:0")->port, "0");
  for (const char* wrong : {"", "host", "host:", "host:http", "host:70000", "::1:2379", "[::1"}) {
    EXPECT_FALSE(split_address(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace quorate::front::grpc
