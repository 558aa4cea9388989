// front/etcd/metrics_page.h: a page of figures in the text form of Prometheus.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/types.h"

namespace quorate::front::etcd {

inline std::string seconds_text(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.9g", value);
  return text.data();
}

class MetricsPage {
 public:
  void gauge(std::string_view name, std::string_view help, uint64_t value) {
    family(name, help, "gauge");
    sample(name, {}, std::to_string(value));
  }
  void counter(std::string_view name, std::string_view help, uint64_t value) {
    family(name, help, "counter");
    sample(name, {}, std::to_string(value));
  }
  void family(std::string_view name, std::string_view help, std::string_view type) {
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
  }
  void sample(std::string_view name, std::string_view labels, const std::string& value) {
    text_.append(name);
    if (!labels.empty()) text_.append("{").append(labels).append("}");
    text_.append(" ").append(value).append("\n");
  }
  // Its own family is begun by the caller: there may be several with different labels.
  template <typename Times>
  void histogram(const std::string& name, const std::string& labels, const Times& times) {
    const std::string comma = labels.empty() ? "" : labels + ",";
    uint64_t count = 0;
    for (size_t i = 0; i < Times::bounds().size(); ++i) {
      count += times.count(i);
      const std::chrono::duration<double> bound = Times::bounds()[i];
      sample(name + "_bucket", comma + "le=\"" + seconds_text(bound.count()) + "\"",
             std::to_string(count));
    }
    count += times.count(Times::bounds().size());
    sample(name + "_bucket", comma + "le=\"+Inf\"", std::to_string(count));
    sample(name + "_sum", labels, seconds_text(static_cast<double>(times.nanoseconds()) / 1e9));
    sample(name + "_count", labels, std::to_string(count));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace quorate::front::etcd
