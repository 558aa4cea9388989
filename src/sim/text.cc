#include "sim/text.h"

#include "base/check.h"

namespace quorate::sim {
namespace {

constexpr int64_t kNumberMax = 1'000'000'000'000'000;

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

}  // namespace

std::string decimal_of(int64_t value, int64_t unit) {
  CHECK(value >= 0 && unit > 0, "only amounts are written as decimals");
  std::string text = std::to_string(value / unit);
  int64_t rest = value % unit;
  if (rest == 0) return text;
  text += '.';
  for (; rest != 0; rest %= unit) {
    rest *= 10;
    text += static_cast<char>('0' + rest / unit);
  }
  return text;
}

bool read_decimal(std::string_view word, int64_t unit, int64_t& value) {
  int64_t whole = 0;
  size_t place = 0;
  for (; place < word.size() && is_digit(word[place]); ++place) {
    whole = whole * 10 + (word[place] - '0');
    if (whole > kNumberMax / unit) return false;
  }
  if (place == 0) return false;
  value = whole * unit;
  if (place == word.size()) return true;
  if (word[place] != '.' || place + 1 == word.size()) return false;
  for (++place; place < word.size(); ++place) {
    unit /= 10;
    if (!is_digit(word[place]) || unit == 0) return false;
    value += (word[place] - '0') * unit;
  }
  return true;
}

bool read_number(std::string_view word, int64_t& value) {
  const bool negative = word.starts_with('-');
  if (negative) word.remove_prefix(1);
  if (!read_decimal(word, 1, value)) return false;
  if (negative) value = -value;
  return true;
}

std::vector<std::string> words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  const auto blank = [](char letter) {
    return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\v' || letter == '\f';
  };
  std::vector<std::string> words;
  size_t place = 0;
  while (true) {
    while (place < line.size() && blank(line[place])) ++place;
    if (place == line.size()) return words;
    const size_t begin = place;
    while (place < line.size() && !blank(line[place])) ++place;
    words.emplace_back(line.substr(begin, place - begin));
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) {
    if (!line.empty()) line += ' ';
    line += word;
  }
  return line;
}

}  // namespace quorate::sim
