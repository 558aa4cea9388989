#include "load/outside.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "load/clock.h"

namespace quorate::load {
namespace {

TEST(OutsideTest, CpuBehindANameWithBrackets) {
  const auto cpu =
      parse_cpu("42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 5 0 1 2 3", 100);
  ASSERT_TRUE(cpu.has_value());
  EXPECT_EQ(*cpu, std::chrono::seconds(2));
  EXPECT_FALSE(parse_cpu("", 100).has_value());
  EXPECT_FALSE(parse_cpu("42 (a) S 1 2", 100).has_value());
}

TEST(OutsideTest, StatusFields) {
  const std::string status =
      "Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  700 kB\nThreads:\t3\n"
      "voluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t7\n";
  EXPECT_EQ(parse_context_switches(status), 157U);
  EXPECT_EQ(parse_resident_bytes(status), 700U * 1024);
  EXPECT_EQ(parse_resident_bytes("Name:\tx\n"), 0U);
}

TEST(OutsideTest, TheDeviceAndNotItsPartition) {
  const std::string text =
      " 254       1 vda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
      " 254       0 vda 10 0 80 1 200 30 1600 40 0 50 60 5 0 40 3 77 88\n";
  const auto use = parse_device(text, "vda");
  ASSERT_TRUE(use.has_value());
  EXPECT_EQ(use->writes, 200U);
  EXPECT_EQ(use->written_bytes, 1600U * 512);
  EXPECT_EQ(use->flushes, 77U);
  EXPECT_FALSE(parse_device(text, "vdb").has_value());
}

TEST(OutsideTest, OwnProcessUsesCpu) {
  Outside outside({::getpid()}, {});
  ASSERT_TRUE(outside.open().has_value());
  const Duration before = own_cpu();
  while (own_cpu() - before < std::chrono::milliseconds(200)) {
  }
  ASSERT_TRUE(outside.close().has_value());
  EXPECT_GE(outside.use().processes.cpu, std::chrono::milliseconds(150));
  EXPECT_GT(outside.use().largest_resident_bytes, 0U);
}

TEST(OutsideTest, AProcessThatIsNotThere) {
  Outside outside({999'999'999}, {});
  const auto opened = outside.open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().text.find("999999999"), std::string::npos);
}

}  // namespace
}  // namespace quorate::load
