#include "front/grpc/request_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace quorate::front::grpc {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

const Fields kGet = {{":method", "GET"}, {":scheme", "http"}, {":path", "/version"}};

bool well_formed(const Fields& fields) {
  RequestFields checked;
  for (const auto& [name, value] : fields) checked.take(name, value);
  return checked.well_formed();
}

Fields with(const std::string& name, const std::string& value) {
  Fields fields = kGet;
  fields.emplace_back(name, value);
  return fields;
}

TEST(RequestFields, AnAuthorityMayBeAUrlAsEtcdctlSendsIt) {
  EXPECT_TRUE(well_formed(kGet));
  EXPECT_TRUE(well_formed(with(":authority", "127.0.0.1:2379")));
  EXPECT_TRUE(well_formed(with(":authority", "http://127.0.0.1:2379")));
  EXPECT_TRUE(well_formed(with(":authority", "")));
  EXPECT_FALSE(well_formed(with(":authority", "a\r\nb")));
}

TEST(RequestFields, ARequestHasAMethodASchemeAndAPathOnceEach) {
  for (size_t missing = 0; missing < kGet.size(); ++missing) {
    Fields fields = kGet;
    fields.erase(fields.begin() + static_cast<ptrdiff_t>(missing));
    EXPECT_FALSE(well_formed(fields)) << missing;
    EXPECT_FALSE(well_formed(with(kGet[missing].first, kGet[missing].second))) << missing;
  }
  EXPECT_FALSE(well_formed({{":method", "GET"}, {":scheme", "http"}, {":path", ""}}));
  EXPECT_FALSE(well_formed({}));
}

TEST(RequestFields, PseudoFieldsComeFirstAndAreKnown) {
  EXPECT_FALSE(well_formed(with(":status", "200")));
  EXPECT_FALSE(well_formed(with(":protocol", "websocket")));
  Fields late = with("accept", "*/*");
  late.emplace_back(":authority", "x");
  EXPECT_FALSE(well_formed(late));
}

TEST(RequestFields, NamesAreSmallTokensAndValuesHoldNoControlCharacters) {
  EXPECT_TRUE(well_formed(with("x-request.id_1", "any \t text \xc3\xa9")));
  EXPECT_FALSE(well_formed(with("Accept", "x")));
  EXPECT_FALSE(well_formed(with("", "x")));
  EXPECT_FALSE(well_formed(with("two words", "x")));
  EXPECT_FALSE(well_formed(with("accept", std::string("a\0b", 3))));
  EXPECT_FALSE(well_formed(with("accept", "a\nb")));
}

TEST(RequestFields, NoFieldSpeaksOfTheConnection) {
  EXPECT_TRUE(well_formed(with("te", "trailers")));
  EXPECT_FALSE(well_formed(with("te", "gzip")));
  for (const char* name :
       {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}) {
    EXPECT_FALSE(well_formed(with(name, "x"))) << name;
  }
}

}  // namespace
}  // namespace quorate::front::grpc
