// tests/crash/journal.h: the history of all clients of one process, as a file.
//
// One journal for all threads, so that the order of the records is the order of the events. An
// operation is noted before it is sent and after its answer came: it never looks shorter than it
// was. Files of several processes may be joined when their call and process numbers differ.
#pragma once

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

#include "app/session.h"
#include "check/history_text.h"

namespace quorate::crash {

class Journal {
 public:
  // Calls are numbered behind `last_call`.
  Journal(const std::string& path, uint64_t last_call);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  bool open() const { return output_ != nullptr; }
  uint64_t invoke(uint64_t process, check::Call call);
  // `reply` counts when it is done, `text` when it is not.
  void finish(uint64_t call, app::Verdict verdict, check::Reply reply, const std::string& text);
  // Prints how many ended how. False: the file is not whole.
  bool close();

 private:
  void note(const check::Record& record);
  void flush();

  std::FILE* output_;
  std::mutex mutex_;
  std::string text_;
  check::HistoryWriter writer_;
  uint64_t calls_;
  unsigned long answered_ = 0;
  unsigned long failed_ = 0;
  unsigned long unknown_ = 0;
  bool good_ = true;
};

}  // namespace quorate::crash
