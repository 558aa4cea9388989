#include "base/log.h"

namespace quorate {
namespace {
LogSink sink_in_force = nullptr;
}

void set_log_sink(LogSink sink) { sink_in_force = sink; }

void log(LogLevel level, std::string_view text) {
  if (sink_in_force != nullptr) sink_in_force(level, text);
}

}  // namespace quorate
