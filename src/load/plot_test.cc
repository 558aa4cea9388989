#include "load/plot.h"

#include <gtest/gtest.h>

#include <sstream>

namespace quorate::load {
namespace {

using std::chrono::milliseconds;

std::vector<std::string> polylines(const std::string& picture) {
  std::vector<std::string> found;
  const std::string start = " points=\"";
  for (size_t place = picture.find(start); place != std::string::npos;
       place = picture.find(start, place + 1)) {
    const size_t from = place + start.size();
    found.push_back(picture.substr(from, picture.find('"', from) - from));
  }
  return found;
}

std::vector<std::pair<double, double>> places(const std::string& points) {
  std::vector<std::pair<double, double>> found;
  std::istringstream stream(points);
  double x = 0;
  double y = 0;
  char comma = 0;
  while (stream >> x >> comma >> y) found.emplace_back(x, y);
  return found;
}

TEST(PlotTest, ThreeLinesForEachSystemWithAPlaceForEachPoint) {
  const PlotSeries one{"one",
                       {{1000, milliseconds(1), milliseconds(10), milliseconds(100)},
                        {2000, milliseconds(2), milliseconds(20), milliseconds(200)}}};
  const PlotSeries two{"two", {{4000, milliseconds(1), milliseconds(1), milliseconds(1)}}};
  const auto lines = polylines(latency_plot("t", {one, two}));
  ASSERT_EQ(lines.size(), 6U);
  const auto middle = places(lines[0]);
  const auto hundredth = places(lines[1]);
  const auto thousandth = places(lines[2]);
  ASSERT_EQ(middle.size(), 2U);
  // Throughput is linear, so 2000 is as far from 1000 as 4000 from 2000 is halved.
  const auto other = places(lines[3]);
  EXPECT_NEAR(other[0].first - middle[1].first, 2 * (middle[1].first - middle[0].first), 0.3);
  // Latency is logarithmic: ten times is the same way everywhere; up is smaller.
  EXPECT_NEAR(middle[0].second - hundredth[0].second, hundredth[0].second - thousandth[0].second,
              0.3);
  EXPECT_GT(middle[0].second, hundredth[0].second);
  EXPECT_NEAR(other[0].second, middle[0].second, 0.1);
}

TEST(PlotTest, EverythingIsInsideThePicture) {
  const PlotSeries wide{"w",
                        {{0.5, Duration(1), milliseconds(3), std::chrono::hours(1)},
                         {987'654, Duration{}, milliseconds(3), milliseconds(4)}}};
  for (const std::string& line : polylines(latency_plot("t", {wide}))) {
    for (const auto& [x, y] : places(line)) {
      EXPECT_GE(x, 0);
      EXPECT_LE(x, 860);
      EXPECT_GE(y, 0);
      EXPECT_LE(y, 520);
    }
  }
}

TEST(PlotTest, NamesCannotBreakThePicture) {
  const std::string picture = latency_plot("a < b & \"c\"", {{"</svg>", {}}});
  EXPECT_EQ(picture.find("</svg>"), picture.rfind("</svg>"));
  EXPECT_NE(picture.find("a &lt; b &amp; &quot;c&quot;"), std::string::npos);
}

TEST(PlotTest, NothingMeasuredIsStillAPicture) {
  const std::string picture = latency_plot("empty", {});
  EXPECT_EQ(picture.find("nan"), std::string::npos);
  EXPECT_EQ(picture.find("inf"), std::string::npos);
  EXPECT_TRUE(picture.ends_with("</svg>\n"));
}

}  // namespace
}  // namespace quorate::load
