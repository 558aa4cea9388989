#include "app/logging.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>

#include "app/etcdctl/go_text.h"
#include "base/log.h"

namespace quorate::app {
namespace {

bool as_json = false;  // set before the first line, and again only by a later start

std::string json_line(LogLevel level, std::string_view text) {
  static constexpr const char* names[] = {"debug", "info", "warn", "error"};
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const std::time_t moment = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  ::gmtime_r(&moment, &parts);
  char stamp[40];
  const size_t size = std::strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts);
  const auto thousandths =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds).count();
  std::snprintf(stamp + size, sizeof(stamp) - size, ".%03dZ", static_cast<int>(thousandths));
  return std::string("{\"level\":\"") + names[static_cast<size_t>(level)] + "\",\"ts\":\"" + stamp +
         "\",\"logger\":\"quorate\",\"msg\":" + etcdctl::json_text(text) + "}";
}

void write_line(LogLevel level, std::string_view plain) {
  const std::string text = as_json ? json_line(level, plain) : std::string(plain);
  switch (level) {
    case LogLevel::debug:
      return spdlog::debug("{}", text);
    case LogLevel::info:
      return spdlog::info("{}", text);
    case LogLevel::warn:
      return spdlog::warn("{}", text);
    case LogLevel::error:
      return spdlog::error("{}", text);
  }
}

}  // namespace

Result<void> install_logging(const LogOptions& options) {
  std::vector<spdlog::sink_ptr> sinks;
  for (const std::string& output : options.outputs) {
    if (output == "stdout") {
      sinks.push_back(std::make_shared<spdlog::sinks::stdout_sink_mt>());
    } else if (output == "default" || output == "stderr" || output == "systemd/journal") {
      // What a unit writes to stderr is the journal's.
      sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    } else {
      try {  // spdlog reports by exceptions; they end here
        sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(output));
      } catch (const spdlog::spdlog_ex& problem) {
        return fail(ErrorKind::io, "--log-outputs: cannot write \"" + output + "\": " +
                                       problem.what() + "; name default, stdout, stderr or a file");
      }
    }
  }
  auto logger = std::make_shared<spdlog::logger>("quorate", sinks.begin(), sinks.end());
  as_json = options.json;
  logger->set_pattern(options.json ? "%v" : "%Y-%m-%dT%H:%M:%S.%e %l %v");
  logger->flush_on(spdlog::level::debug);
  const bool errors_only = options.level == "panic" || options.level == "fatal";
  logger->set_level(errors_only ? spdlog::level::err : spdlog::level::from_str(options.level));
  spdlog::set_default_logger(std::move(logger));
  set_log_sink(write_line);
  return {};
}

}  // namespace quorate::app
