#include "load/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace quorate::load {
namespace {

constexpr double kWidth = 860;
constexpr double kHeight = 520;
constexpr double kLeft = 80;
constexpr double kRight = 30;
constexpr double kTop = 50;
constexpr double kBottom = 70;
constexpr std::array<std::string_view, kPlotSeriesMax> kColours = {"#0b62a4", "#d1495b", "#2e8b57",
                                                                   "#edae49", "#6a4c93", "#444444"};

struct Line {
  std::string_view name;
  std::string_view dashes;
  Duration PlotPoint::* value;
};
constexpr std::array<Line, 3> kLines = {{{"p50", "", &PlotPoint::middle},
                                         {"p99", "7 4", &PlotPoint::slowest_hundredth},
                                         {"p99.9", "2 4", &PlotPoint::slowest_thousandth}}};

std::string decimal(double value, int digits = 1) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

// A number as short as it is exact enough: 0.5, 20, 1500.
std::string plain(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.10g", value);
  return text.data();
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char each : text) {
    switch (each) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += each;
    }
  }
  return out;
}

double milliseconds(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

class Picture {
 public:
  Picture(std::string_view title, const std::vector<PlotSeries>& series);
  std::string text() &&;

 private:
  double x(double per_second) const {
    return kLeft + per_second / x_most_ * (kWidth - kLeft - kRight);
  }
  double y(double latency) const {
    const double share = (std::log10(latency) - y_least_) / (y_most_ - y_least_);
    return kHeight - kBottom - share * (kHeight - kTop - kBottom);
  }
  void find_bounds();
  void frame();
  void draw(const PlotSeries& series, std::string_view colour);
  void legend();
  void words(double left, double top, std::string_view anchor, std::string_view text);
  void segment(double x1, double y1, double x2, double y2);

  std::string_view title_;
  const std::vector<PlotSeries>& series_;
  double x_most_ = 1;
  double x_step_ = 1;
  double y_least_ = 0;  // powers of ten, of milliseconds
  double y_most_ = 1;
  std::string out_;
};

Picture::Picture(std::string_view title, const std::vector<PlotSeries>& series)
    : title_(title), series_(series) {
  find_bounds();
}

void Picture::find_bounds() {
  double rate = 0;
  double least = 1e9;
  double most = 0;
  for (const PlotSeries& series : series_) {
    for (const PlotPoint& point : series.points) {
      rate = std::max(rate, point.per_second);
      for (const Line& line : kLines) {
        const double value = std::max(milliseconds(point.*line.value), 1e-3);
        least = std::min(least, value);
        most = std::max(most, value);
      }
    }
  }
  if (most == 0) least = most = 1;
  // Steps of 1, 2 or 5 times a power of ten, about eight of them.
  const double rough = std::max(rate, 1.0) / 8;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double factor = rough / power;
  x_step_ = power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
  x_most_ = std::max(1.0, std::ceil(rate / x_step_ - 1e-9)) * x_step_;
  y_least_ = std::floor(std::log10(least));
  y_most_ = std::max(std::ceil(std::log10(most)), y_least_ + 1);
}

void Picture::words(double left, double top, std::string_view anchor, std::string_view text) {
  out_ += "<text x=\"" + decimal(left) + "\" y=\"" + decimal(top) + "\" text-anchor=\"" +
          std::string(anchor) + "\">" + escaped(text) + "</text>\n";
}

void Picture::segment(double x1, double y1, double x2, double y2) {
  out_ += "<line class=\"grid\" x1=\"" + decimal(x1) + "\" y1=\"" + decimal(y1) + "\" x2=\"" +
          decimal(x2) + "\" y2=\"" + decimal(y2) + "\"/>\n";
}

void Picture::frame() {
  for (double rate = 0; rate <= x_most_ + x_step_ / 2; rate += x_step_) {
    segment(x(rate), kTop, x(rate), kHeight - kBottom);
    words(x(rate), kHeight - kBottom + 18, "middle", plain(rate));
  }
  for (double power = y_least_; power <= y_most_; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor > 1 && power == y_most_) break;
      const double value = factor * std::pow(10, power);
      segment(kLeft, y(value), kWidth - kRight, y(value));
      words(kLeft - 8, y(value) + 4, "end", plain(value));
    }
  }
  words(kWidth / 2, 24, "middle", title_);
  words((kLeft + kWidth - kRight) / 2, kHeight - kBottom + 38, "middle", "operations per second");
  words(8, kTop - 12, "start", "latency, ms");
}

void Picture::draw(const PlotSeries& series, std::string_view colour) {
  for (const Line& line : kLines) {
    std::string places;
    std::string dots;
    for (const PlotPoint& point : series.points) {
      const std::string left = decimal(x(point.per_second));
      const std::string top = decimal(y(std::max(milliseconds(point.*line.value), 1e-3)));
      if (!places.empty()) places += ' ';
      places += left + "," + top;
      dots += "<circle cx=\"" + left + "\" cy=\"" + top + "\" r=\"3\" fill=\"" +
              std::string(colour) + "\"/>\n";
    }
    out_ += "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" + std::string(colour) +
            "\" stroke-dasharray=\"" + std::string(line.dashes) + "\" points=\"" + places +
            "\"/>\n" + dots;
  }
}

void Picture::legend() {
  double left = kLeft;
  const double top = kHeight - 12;
  for (size_t place = 0; place < series_.size(); ++place) {
    const std::string colour(kColours[place % kColours.size()]);
    out_ += "<rect x=\"" + decimal(left) + "\" y=\"" + decimal(top - 10) +
            "\" width=\"12\" height=\"12\" fill=\"" + colour + "\"/>\n";
    words(left + 18, top, "start", series_[place].name);
    left += 40 + 8 * static_cast<double>(series_[place].name.size());
  }
  for (const Line& line : kLines) {
    out_ += "<line stroke=\"#333\" stroke-width=\"2\" stroke-dasharray=\"" +
            std::string(line.dashes) + "\" x1=\"" + decimal(left) + "\" y1=\"" + decimal(top - 4) +
            "\" x2=\"" + decimal(left + 30) + "\" y2=\"" + decimal(top - 4) + "\"/>\n";
    words(left + 36, top, "start", line.name);
    left += 90;
  }
}

std::string Picture::text() && {
  out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + plain(kWidth) + " " +
         plain(kHeight) +
         "\" font-family=\"sans-serif\" font-size=\"12\">\n"
         "<style>.grid{stroke:#ddd;stroke-width:1}</style>\n"
         "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  frame();
  for (size_t place = 0; place < series_.size(); ++place) {
    draw(series_[place], kColours[place % kColours.size()]);
  }
  legend();
  out_ += "</svg>\n";
  return std::move(out_);
}

}  // namespace

std::string latency_plot(std::string_view title, const std::vector<PlotSeries>& series) {
  return Picture(title, series).text();
}

}  // namespace quorate::load
