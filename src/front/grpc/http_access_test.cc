#include "front/grpc/http_access.h"

#include <gtest/gtest.h>

namespace quorate::front::grpc {
namespace {

TEST(HttpAccess, without_lists_everybody_is_served) {
  for (const HttpAccess& access : {HttpAccess(), HttpAccess({"*"}, {"*"}), HttpAccess({}, {}),
                                   HttpAccess({"http://a", "*"}, {"a", "*"})}) {
    EXPECT_FALSE(access.checks_hosts());
    EXPECT_TRUE(access.allows_host("anything"));
    EXPECT_TRUE(access.allows_host(""));
    EXPECT_EQ(access.allowed_origin("http://b"), "*");
    EXPECT_EQ(access.allowed_origin(""), "*");
  }
}

TEST(HttpAccess, only_what_is_listed_is_served) {
  const HttpAccess access({"http://a.example", "http://b.example:8080"},
                          {"good.example", "10.0.0.1", "::1"});
  EXPECT_TRUE(access.checks_hosts());
  for (const char* host : {"good.example", "good.example:2379", "10.0.0.1:1", "[::1]:2379"}) {
    EXPECT_TRUE(access.allows_host(host)) << host;
  }
  for (const char* host : {"", "evil.example", "good.example.evil", "localhost", "127.0.0.1",
                           "GOOD.example", "[::2]:1", "[", "[]", ":1"}) {
    EXPECT_FALSE(access.allows_host(host)) << host;
  }
  EXPECT_EQ(access.allowed_origin("http://b.example:8080"), "http://b.example:8080");
  for (const char* origin : {"", "http://b.example", "null", "http://a.example.evil", "*"}) {
    EXPECT_EQ(access.allowed_origin(origin), "") << origin;
  }
  EXPECT_NE(misdirected_text("evil.example:80").find("--host-whitelist \"evil.example\""),
            std::string::npos);
}

}  // namespace
}  // namespace quorate::front::grpc
