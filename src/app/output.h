// app/output.h: tables for people, and bytes shown so that a terminal stays sane.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quorate::app {

class Table {
 public:
  explicit Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;  // columns aligned, two blanks apart

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Printable UTF-8 as it is; control characters and broken UTF-8 as \xNN.
std::string printable(std::string_view bytes);
bool is_utf8(std::string_view bytes);
std::string hex(uint64_t number);

// A line on stderr that the next one replaces, when a person looks: both stdout and stderr are
// terminals. end_progress() removes it.
void show_progress(std::string_view line);
void end_progress();

// Writes `reason` to stderr after the program's name.
void complain(std::string_view reason);

}  // namespace quorate::app
