// check/history_text.h: histories as text, one record a line (docs/formats/history.md).
//
// The writer appends, so a recorder that dies leaves a readable file behind: calls without an
// answer are unknown, and a cut last line is dropped. The reader takes lines in any order and
// sorts them by time; lines of the same time keep their order. Files are hostile until read:
// reading any bytes gives a history or an error that names the line.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "check/history.h"
#include "check/record.h"

namespace quorate::check {

class HistoryWriter : public Recorder {
 public:
  // Lines are appended to `out`, which must outlive the writer; its owner empties it into a file
  // whenever he likes. The first line, the format's name, is written at once.
  explicit HistoryWriter(std::string& out);
  void record(Time at, const Record& record) override;

 private:
  std::string& out_;
};

struct TimedRecord {
  Time at;
  Record record;
  bool operator==(const TimedRecord&) const = default;
};

// One line without its end; the error says what is wrong with it.
Result<TimedRecord> read_record(std::string_view line);
// A whole file. This is the fuzzers' entry: any bytes are fine.
Result<History> read_history(std::string_view file);
// Whether the file says that it is in this format.
bool is_history(std::string_view file);

}  // namespace quorate::check
