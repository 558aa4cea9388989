#include "front/grpc/json_split.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quorate::front::grpc {
namespace {

// The values found in `body` when it comes in pieces of `size`, and what is left over.
std::vector<std::string> split(const std::string& body, size_t size) {
  std::vector<std::string> found;
  std::string held;
  JsonSplit splitter;
  for (size_t at = 0; at < body.size(); at += size) {
    held += body.substr(at, size);
    while (const auto end = splitter.find_end(held)) {
      found.push_back(held.substr(0, *end));
      held.erase(0, *end);
    }
  }
  found.push_back(held);
  return found;
}

TEST(JsonSplit, finds_values_however_they_come) {
  const std::string first = R"({"a":"}{][\"\\","b":[{"c":{}},[]]})";
  const std::string second = " \n\t{}";
  const std::vector<std::string> wanted = {first, second, "{\"d\":1}", " {\"open\":[\"}"};
  const std::string body = wanted[0] + wanted[1] + wanted[2] + wanted[3];
  for (const size_t size : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, body.size()}) {
    EXPECT_EQ(split(body, size), wanted) << size;
  }
}

TEST(JsonSplit, what_is_no_object_is_left_to_the_reader) {
  EXPECT_EQ(split("  [1]{}", 100), (std::vector<std::string>{"  [1]{}", ""}));
  EXPECT_EQ(split("{}x{}", 100), (std::vector<std::string>{"{}", "x{}", ""}));
  EXPECT_EQ(split("   ", 1), (std::vector<std::string>{"   "}));
  EXPECT_EQ(split("", 1), (std::vector<std::string>{""}));
  // Brackets that do not match are not for the splitter to judge.
  EXPECT_EQ(split("{]{}", 1), (std::vector<std::string>{"{]", "{}", ""}));
}

TEST(JsonSplit, blank_is_white_space_alone) {
  EXPECT_TRUE(is_blank(""));
  EXPECT_TRUE(is_blank(" \t\r\n"));
  EXPECT_FALSE(is_blank(" x "));
}

}  // namespace
}  // namespace quorate::front::grpc
