#include "app/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "base/log.h"

namespace quorate::app {
namespace {

void write_line(LogLevel level, std::string_view text) {
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

void install_logging(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("quorate",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  logger->flush_on(spdlog::level::debug);
  const bool errors_only = level == "panic" || level == "fatal";
  logger->set_level(errors_only ? spdlog::level::err : spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
  set_log_sink(write_line);
}

}  // namespace quorate::app
