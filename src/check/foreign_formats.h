// check/foreign_formats.h: recorded histories of others: Jepsen's log of one register, and events
// of a key-value log as Clojure maps. Neither knows time: a line's number stands for it.
//
// Files are hostile until read: any bytes give a history or an error that names the line.
#pragma once

#include <string_view>

#include "base/result.h"
#include "check/history.h"

namespace quorate::check {

// `INFO  jepsen.util - PROCESS  :TYPE  :FUNCTION  VALUE` with functions read, write and cas on one
// register that starts empty. Lines of others, as the nemesis, are skipped.
Result<History> read_register_log(std::string_view file);
// `{:process 0, :type :invoke, :f :append, :key "0", :value "x"}` with functions get, put and
// append; every key starts with the empty text.
Result<History> read_key_value_log(std::string_view file);

enum class Format : uint8_t { quorate, register_log, key_value_log };
struct LoadedHistory {
  History history;
  Format format = Format::quorate;
};
// Recognizes the format by how the file begins.
Result<LoadedHistory> read_any_history(std::string_view file);

}  // namespace quorate::check
