// base/log.h: the log sink: rooms say what happened, the application decides where it goes.
//
// Cores do not log. The default sink drops everything; app/ installs one over spdlog.
#pragma once

#include <string_view>

namespace quorate {

enum class LogLevel : unsigned char { debug, info, warn, error };

using LogSink = void (*)(LogLevel level, std::string_view text);
void set_log_sink(LogSink sink);
void log(LogLevel level, std::string_view text);

}  // namespace quorate
