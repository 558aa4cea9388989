#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "check/history_text.h"
#include "check/words.h"

namespace quorate::check {
namespace {

constexpr std::string_view kFirstLine = "quorate-history 1";
constexpr size_t kShownMax = 40;  // of a text that is not understood, in the error

bool is_blank(char character) { return character == ' ' || character == '\t'; }
bool is_letter(char character) {
  return (character >= 'a' && character <= 'z') || character == '_';
}

// Reads tokens from one line. After the first mistake every further read gives nothing, so a
// reader goes straight through and asks once.
class Scanner {
 public:
  explicit Scanner(std::string_view line) : rest_(line) {}

  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  void fail(std::string problem) {
    if (ok()) problem_ = std::move(problem);
    rest_ = {};
  }
  void fail_here(std::string_view wanted) {
    std::string text = "expected ";
    text += wanted;
    if (rest_.empty()) return fail(text + " at the end of the line");
    fail(text + " at \"" + std::string(rest_.substr(0, kShownMax)) + '"');
  }
  bool at_end() {
    skip_blanks();
    return rest_.empty();
  }
  // The next word without taking it; empty when there is none.
  std::string_view peek_word() {
    skip_blanks();
    size_t size = 0;
    while (size < rest_.size() && is_letter(rest_[size])) ++size;
    return rest_.substr(0, size);
  }
  std::string_view word() {
    const std::string_view found = peek_word();
    if (found.empty()) fail_here("a word");
    rest_.remove_prefix(std::min(found.size(), rest_.size()));
    return found;
  }
  bool accept_word(std::string_view wanted) {
    if (peek_word() != wanted) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  bool accept(std::string_view mark) {
    skip_blanks();
    if (!rest_.starts_with(mark)) return false;
    rest_.remove_prefix(mark.size());
    return true;
  }
  void expect(std::string_view mark) {
    if (!accept(mark)) fail_here(mark);
  }
  template <class Number>
  Number number() {
    skip_blanks();
    Number value = 0;
    const char* end = rest_.data() + rest_.size();
    const auto [stop, error] = std::from_chars(rest_.data(), end, value);
    if (error != std::errc() || stop == rest_.data()) {
      fail_here("a number");
      return 0;
    }
    rest_.remove_prefix(static_cast<size_t>(stop - rest_.data()));
    return value;
  }
  std::string text();

 private:
  void skip_blanks() {
    while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
  }
  void escape(std::string& out);
  uint32_t hexadecimal(size_t digits);

  std::string_view rest_;
  std::string problem_;
};

std::string Scanner::text() {
  std::string out;
  if (!accept("\"")) {
    fail_here("a text in double quotes");
    return out;
  }
  while (true) {
    const size_t plain = rest_.find_first_of("\"\\");
    if (plain == std::string_view::npos) {
      fail("a text in double quotes does not end");
      return out;
    }
    out.append(rest_.substr(0, plain));
    const bool ends = rest_[plain] == '"';
    rest_.remove_prefix(plain + 1);
    if (ends) return out;
    escape(out);
    if (!ok()) return out;
  }
}

uint32_t Scanner::hexadecimal(size_t digits) {
  uint32_t value = 0;
  const size_t size = std::min(digits, rest_.size());
  const auto [stop, error] = std::from_chars(rest_.data(), rest_.data() + size, value, 16);
  if (error != std::errc() || stop != rest_.data() + digits) {
    fail("an escape lacks hexadecimal digits");
    return 0;
  }
  rest_.remove_prefix(digits);
  return value;
}

void append_utf8(std::string& out, uint32_t point) {
  const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (point < 0x80) return put(point);
  if (point < 0x800) {
    put(0xc0 | (point >> 6));
  } else if (point < 0x10000) {
    put(0xe0 | (point >> 12));
    put(0x80 | ((point >> 6) & 0x3f));
  } else {
    put(0xf0 | (point >> 18));
    put(0x80 | ((point >> 12) & 0x3f));
    put(0x80 | ((point >> 6) & 0x3f));
  }
  put(0x80 | (point & 0x3f));
}

// Behind a backslash. JSON's escapes are understood, so that its libraries may write the texts.
void Scanner::escape(std::string& out) {
  if (rest_.empty()) return fail("a line ends in a backslash");
  const char kind = rest_.front();
  rest_.remove_prefix(1);
  constexpr std::string_view kKinds = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  if (const size_t known = kKinds.find(kind); known != std::string_view::npos) {
    out += kMeant[known];
  } else if (kind == 'x') {
    out += static_cast<char>(hexadecimal(2));
  } else if (kind == 'u') {
    uint32_t point = hexadecimal(4);
    if (point >= 0xd800 && point < 0xdc00 && rest_.starts_with("\\u")) {
      rest_.remove_prefix(2);
      point = 0x10000 + ((point - 0xd800) << 10) + ((hexadecimal(4) - 0xdc00) & 0x3ff);
    }
    append_utf8(out, point);
  } else {
    fail(std::string("unknown escape \\") + kind);
  }
}

// ---- Parts of records. Each takes fields as long as it knows them.

bool set_number(Scanner& scanner, std::string_view name, int64_t& field) {
  if (!scanner.accept_word(name)) return false;
  scanner.expect("=");
  field = scanner.number<int64_t>();
  return true;
}

bool set_unsigned(Scanner& scanner, std::string_view name, uint64_t& field) {
  if (!scanner.accept_word(name)) return false;
  scanner.expect("=");
  field = scanner.number<uint64_t>();
  return true;
}

bool set_process(Scanner& scanner, uint32_t& field) {
  if (!scanner.accept_word("process")) return false;
  scanner.expect("=");
  field = scanner.number<uint32_t>();
  return true;
}

bool set_text(Scanner& scanner, std::string_view name, std::string& field) {
  if (!scanner.accept_word(name)) return false;
  scanner.expect("=");
  field = scanner.text();
  return true;
}

bool set_flag(Scanner& scanner, std::string_view name, bool& field) {
  if (!scanner.accept_word(name)) return false;
  field = true;
  return true;
}

// The opening bracket is already taken.
Row row_behind_bracket(Scanner& scanner) {
  Row row;
  std::string value;
  while (scanner.ok() && !scanner.accept("]")) {
    if (set_text(scanner, "value", value)) {
      row.value = std::move(value);
      continue;
    }
    if (!(set_text(scanner, "key", row.key) || set_number(scanner, "create", row.create) ||
          set_number(scanner, "mod", row.mod) || set_number(scanner, "version", row.version) ||
          set_number(scanner, "lease", row.lease))) {
      scanner.fail_here("key, value, create, mod, version, lease or ]");
    }
  }
  return row;
}

std::vector<Row> rows(Scanner& scanner) {
  std::vector<Row> list;
  while (scanner.accept("[")) list.push_back(row_behind_bracket(scanner));
  return list;
}

Row row(Scanner& scanner) {
  scanner.expect("[");
  return scanner.ok() ? row_behind_bracket(scanner) : Row{};
}

Request request(Scanner& scanner) {
  Request request;
  const std::string_view name = scanner.word();
  const auto verb = kind_of<Verb>(kVerbWords, name);
  if (!verb) {
    scanner.fail("unknown verb \"" + std::string(name) + '"');
    return request;
  }
  request.verb = *verb;
  while (set_text(scanner, "key", request.key) || set_text(scanner, "end", request.end) ||
         set_text(scanner, "value", request.value) || set_number(scanner, "lease", request.lease) ||
         set_number(scanner, "revision", request.revision) ||
         set_number(scanner, "limit", request.limit) || set_number(scanner, "ttl", request.ttl) ||
         set_flag(scanner, "serializable", request.serializable) ||
         set_flag(scanner, "keys_only", request.keys_only) ||
         set_flag(scanner, "count_only", request.count_only) ||
         set_flag(scanner, "previous", request.previous) ||
         set_flag(scanner, "ignore_value", request.ignore_value) ||
         set_flag(scanner, "ignore_lease", request.ignore_lease)) {
  }
  return request;
}

Condition condition(Scanner& scanner) {
  Condition condition;
  const std::string_view name = scanner.word();
  const auto target = kind_of<Target>(kTargetWords, name);
  if (!target) {
    scanner.fail("unknown target \"" + std::string(name) + '"');
    return condition;
  }
  condition.target = *target;
  condition.key = scanner.text();
  if (scanner.accept("!=")) {
    condition.relation = Relation::not_equal;
  } else if (scanner.accept("<")) {
    condition.relation = Relation::less;
  } else if (scanner.accept(">")) {
    condition.relation = Relation::greater;
  } else {
    scanner.expect("=");
  }
  if (condition.target == Target::value) {
    condition.value = scanner.text();
  } else {
    condition.number = scanner.number<int64_t>();
  }
  return condition;
}

std::string optional_reason(Scanner& scanner) {
  return scanner.at_end() ? std::string() : scanner.text();
}

// ---- Whole records.

Record read_start(Scanner& scanner) {
  Start record;
  while (set_number(scanner, "revision", record.revision) ||
         set_number(scanner, "compacted", record.compacted)) {
  }
  record.rows = rows(scanner);
  return record;
}

Record read_call(Scanner& scanner) {
  Invoked record{.call = scanner.number<uint64_t>(), .process = 0, .what = {}};
  set_process(scanner, record.process);
  Call& call = record.what;
  if (!scanner.accept_word("txn")) {
    call.then.push_back(request(scanner));
    return record;
  }
  call.transaction = true;
  while (scanner.accept_word("if")) call.conditions.push_back(condition(scanner));
  while (scanner.accept_word("then")) call.then.push_back(request(scanner));
  while (scanner.accept_word("else")) call.otherwise.push_back(request(scanner));
  return record;
}

Record read_ok(Scanner& scanner) {
  Answered record{.call = scanner.number<uint64_t>(), .reply = {}};
  set_number(scanner, "revision", record.reply.revision);
  record.reply.succeeded = !scanner.accept_word("refused");
  while (scanner.accept_word("answer")) {
    Answer answer;
    while (set_number(scanner, "count", answer.count) || set_number(scanner, "ttl", answer.ttl) ||
           set_flag(scanner, "more", answer.more)) {
    }
    answer.rows = rows(scanner);
    record.reply.answers.push_back(std::move(answer));
  }
  return record;
}

Record read_failed(Scanner& scanner) {
  Failed record{.call = scanner.number<uint64_t>(), .why = {}};
  record.why = optional_reason(scanner);
  return record;
}

Record read_unknown(Scanner& scanner) {
  Unknown record{.call = scanner.number<uint64_t>(), .why = {}};
  record.why = optional_reason(scanner);
  return record;
}

Record read_watch(Scanner& scanner) {
  WatchOpened record;
  record.watch = scanner.number<uint64_t>();
  while (set_process(scanner, record.process) || set_text(scanner, "key", record.key) ||
         set_text(scanner, "end", record.end) || set_number(scanner, "from", record.from) ||
         set_flag(scanner, "previous", record.previous) ||
         set_flag(scanner, "progress", record.progress) ||
         set_flag(scanner, "no_put", record.no_put) ||
         set_flag(scanner, "no_delete", record.no_delete) ||
         set_flag(scanner, "fragment", record.fragment)) {
  }
  return record;
}

Record read_created(Scanner& scanner) {
  WatchCreated record;
  record.watch = scanner.number<uint64_t>();
  set_number(scanner, "revision", record.revision);
  return record;
}

Record read_events(Scanner& scanner) {
  WatchDelivered record;
  record.watch = scanner.number<uint64_t>();
  set_number(scanner, "revision", record.revision);
  set_flag(scanner, "fragment", record.fragment);
  while (scanner.ok() && !scanner.at_end()) {
    WatchEvent event;
    event.erased = scanner.accept_word("delete");
    if (!event.erased && !scanner.accept_word("put")) scanner.fail_here("put or delete");
    event.row = row(scanner);
    if (scanner.accept_word("was")) event.previous = row(scanner);
    record.events.push_back(std::move(event));
  }
  return record;
}

Record read_progress(Scanner& scanner) {
  WatchProgress record;
  record.watch = scanner.number<uint64_t>();
  set_number(scanner, "revision", record.revision);
  return record;
}

Record read_ended(Scanner& scanner) {
  WatchEnded record;
  record.watch = scanner.number<uint64_t>();
  set_number(scanner, "compacted", record.compacted);
  record.why = optional_reason(scanner);
  return record;
}

Record read_committed(Scanner& scanner) {
  Committed record;
  while (set_number(scanner, "revision", record.revision) ||
         set_unsigned(scanner, "call", record.call)) {
  }
  return record;
}

Record read_expired(Scanner& scanner) {
  Expired record;
  while (set_number(scanner, "lease", record.lease) ||
         set_number(scanner, "revision", record.revision)) {
  }
  return record;
}

Record read_settled(Scanner& /*scanner*/) { return Settled{}; }

Record read_hash(Scanner& scanner) {
  StateHash record;
  while (set_unsigned(scanner, "member", record.member) ||
         set_number(scanner, "revision", record.revision) ||
         set_unsigned(scanner, "hash", record.hash)) {
  }
  return record;
}

Record read_queue(Scanner& scanner) {
  QueueSample record;
  while (set_unsigned(scanner, "member", record.member) || set_text(scanner, "name", record.name) ||
         set_unsigned(scanner, "size", record.size) ||
         set_unsigned(scanner, "limit", record.limit)) {
  }
  return record;
}

struct RecordReader {
  std::string_view word;
  Record (*read)(Scanner&);
};
constexpr RecordReader kReaders[] = {
    {"call", read_call},           {"ok", read_ok},
    {"failed", read_failed},       {"unknown", read_unknown},
    {"watch", read_watch},         {"created", read_created},
    {"events", read_events},       {"progress", read_progress},
    {"ended", read_ended},         {"start", read_start},
    {"committed", read_committed}, {"expired", read_expired},
    {"settled", read_settled},     {"hash", read_hash},
    {"queue", read_queue},
};

struct NumberedLine {
  int64_t at = 0;
  size_t number = 0;  // in the file, from 1
  std::string_view text;
};

std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::unexpected<Error> wrong_line(size_t number, std::string_view why) {
  std::string text = "line " + std::to_string(number) + ": ";
  text += why;
  return fail(ErrorKind::invalid, std::move(text));
}

// Lines with a time, sorted by it. The last line counts only when it was written to its end.
Result<std::vector<NumberedLine>> timed_lines(std::string_view rest) {
  std::vector<NumberedLine> lines;
  size_t number = 1;  // the format's name was the first
  bool sorted = true;
  while (!rest.empty()) {
    const bool whole = rest.find('\n') != std::string_view::npos;
    const std::string_view line = take_line(rest);
    ++number;
    if (!whole) break;
    const size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos || line[start] == '#') continue;
    Scanner scanner(line);
    const auto at = scanner.number<int64_t>();
    if (!scanner.ok()) return wrong_line(number, "a line starts with its time in nanoseconds");
    sorted = sorted && (lines.empty() || lines.back().at <= at);
    lines.push_back({.at = at, .number = number, .text = line});
  }
  if (!sorted) {
    std::stable_sort(lines.begin(), lines.end(),
                     [](const auto& left, const auto& right) { return left.at < right.at; });
  }
  return lines;
}

}  // namespace

Result<TimedRecord> read_record(std::string_view line) {
  Scanner scanner(line);
  const Time at{Duration(scanner.number<int64_t>())};
  const std::string_view word = scanner.word();
  if (!scanner.ok()) return fail(ErrorKind::invalid, scanner.problem());
  for (const RecordReader& reader : kReaders) {
    if (reader.word != word) continue;
    TimedRecord result{.at = at, .record = reader.read(scanner)};
    if (scanner.ok() && !scanner.at_end()) scanner.fail_here("the end of the line");
    if (!scanner.ok()) return fail(ErrorKind::invalid, scanner.problem());
    return result;
  }
  return fail(ErrorKind::invalid, "unknown record \"" + std::string(word) + '"');
}

bool is_history(std::string_view file) { return take_line(file) == kFirstLine; }

Result<History> read_history(std::string_view file) {
  if (take_line(file) != kFirstLine) {
    return wrong_line(1, "a history starts with the line \"" + std::string(kFirstLine) + '"');
  }
  const Result<std::vector<NumberedLine>> lines = timed_lines(file);
  if (!lines) return std::unexpected(lines.error());
  History history;
  for (const NumberedLine& line : *lines) {
    const Result<TimedRecord> record = read_record(line.text);
    if (!record) return wrong_line(line.number, record.error().text);
    const Result<void> added = history.add(record->at, record->record);
    if (!added) return wrong_line(line.number, added.error().text);
  }
  return history;
}

}  // namespace quorate::check
