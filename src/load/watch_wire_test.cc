#include "load/watch_wire.h"

#include <gtest/gtest.h>

#include <string>

#include "storage/mvcc/protobuf.h"

namespace quorate::load {
namespace {

using protobuf::write_number;
using protobuf::write_present;

std::string event(int64_t revision, std::string_view value, bool removed = false) {
  std::string row;
  write_present(1, "key", row);
  write_number(2, 5, row);
  write_number(3, revision, row);
  write_number(4, 300, row);
  if (!value.empty()) write_present(5, value, row);
  std::string element;
  write_number(1, removed ? 1 : 0, element);
  write_present(2, row, element);
  write_present(3, "a row from before, of no interest", element);
  return element;
}

std::string response(int64_t watcher) {
  std::string header;
  write_number(1, -1, header);  // ten bytes long
  write_number(3, 77, header);
  std::string message;
  write_present(1, header, message);
  write_number(2, watcher, message);
  return message;
}

TEST(WatchWireTest, EventsAreFoundWithRevisionAndValue) {
  std::string message = response(10'000);
  write_present(11, event(7, std::string(256, 'v')), message);
  write_present(11, event(int64_t{1} << 40, "x"), message);
  write_present(11, event(9, {}, true), message);
  WatchedResponse found;
  ASSERT_TRUE(decode_watched(message, found));
  EXPECT_EQ(found.watcher, 10'000U);
  EXPECT_FALSE(found.created);
  EXPECT_FALSE(found.canceled);
  ASSERT_EQ(found.events.size(), 3U);
  EXPECT_EQ(found.events[0].revision, 7);
  EXPECT_EQ(found.events[0].value, std::string(256, 'v'));
  EXPECT_EQ(found.events[1].revision, int64_t{1} << 40);
  EXPECT_EQ(found.events[1].value, "x");
  EXPECT_EQ(found.events[2].revision, 9);
  EXPECT_TRUE(found.events[2].value.empty());
}

TEST(WatchWireTest, NothingOfAnEarlierResponseIsLeft) {
  std::string message = response(3);
  write_number(3, 1, message);
  write_number(4, 1, message);
  write_present(6, "why", message);
  write_present(11, event(7, "v"), message);
  WatchedResponse found;
  ASSERT_TRUE(decode_watched(message, found));
  EXPECT_TRUE(found.created);
  EXPECT_TRUE(found.canceled);
  EXPECT_EQ(found.reason, "why");
  ASSERT_TRUE(decode_watched({}, found));
  EXPECT_EQ(found.watcher, 0U);
  EXPECT_FALSE(found.created);
  EXPECT_FALSE(found.canceled);
  EXPECT_TRUE(found.reason.empty());
  EXPECT_TRUE(found.events.empty());
}

TEST(WatchWireTest, AMessageThatIsCutShortIsMalformedOrEndsWithAField) {
  std::string message = response(3);
  const size_t head = message.size();
  write_present(11, event(7, "value"), message);
  WatchedResponse found;
  for (size_t size = head + 1; size < message.size(); ++size) {
    // A copy of its own, so that a sanitizer sees a step beyond the end.
    const std::string cut = message.substr(0, size);
    EXPECT_FALSE(decode_watched(cut, found)) << size;
  }
  EXPECT_TRUE(decode_watched(message, found));
}

TEST(WatchWireTest, OtherFormsAndEndlessNumbersAreMalformed) {
  WatchedResponse found;
  EXPECT_FALSE(decode_watched(std::string("\x11\0\0\0\0\0\0\0\0", 9), found));  // eight bytes
  EXPECT_FALSE(decode_watched("\x13\x14", found));                              // a group
  EXPECT_FALSE(decode_watched("\x10" + std::string(11, '\xff') + "\x01", found));
  std::string deep = response(3);
  write_present(11,
                "\x12\x05"
                "abc",
                deep);  // the row is longer than its event
  EXPECT_FALSE(decode_watched(deep, found));
}

}  // namespace
}  // namespace quorate::load
