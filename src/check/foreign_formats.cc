#include "check/foreign_formats.h"

#include <charconv>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "check/history_text.h"

namespace quorate::check {
namespace {

constexpr std::string_view kRegister = "register";

std::unexpected<Error> wrong_line(size_t number, std::string_view why) {
  std::string text = "line " + std::to_string(number) + ": ";
  text += why;
  return fail(ErrorKind::invalid, std::move(text));
}

Time line_time(size_t number) { return Time{Duration(static_cast<int64_t>(number))}; }

std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::optional<uint32_t> number_of(std::string_view word) {
  uint32_t value = 0;
  const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || stop != word.data() + word.size()) return std::nullopt;
  return value;
}

// A process does one thing after the other; its answers name no call, so it is kept here.
struct Calls {
  std::map<uint32_t, uint64_t> open;
  uint64_t next = 1;
};

// ---- Jepsen's register.

std::vector<std::string_view> words_behind_dash(std::string_view line) {
  std::vector<std::string_view> words;
  const size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return words;
  line.remove_prefix(dash + 3);
  while (true) {
    const size_t start = line.find_first_not_of(" \t[]");
    if (start == std::string_view::npos) return words;
    const size_t end = std::min(line.find_first_of(" \t[]", start), line.size());
    words.push_back(line.substr(start, end - start));
    line.remove_prefix(end);
  }
}

Request request_of(Verb verb, std::string_view value) {
  Request request;
  request.verb = verb;
  request.key = kRegister;
  request.value = value;
  return request;
}

// Nothing: the words make no sense.
std::optional<Call> register_call(std::span<const std::string_view> words) {
  Call call;
  const std::string_view function = words[2];
  if (function == ":read") {
    call.then = {request_of(Verb::get, {})};
  } else if (function == ":write" && words.size() == 4) {
    call.then = {request_of(Verb::put, words[3])};
  } else if (function == ":cas" && words.size() == 5) {
    call.transaction = true;
    Condition condition;
    condition.key = kRegister;
    condition.value = words[3];
    call.conditions = {condition};
    call.then = {request_of(Verb::put, words[4])};
  } else {
    return std::nullopt;
  }
  return call;
}

Record register_answer(std::span<const std::string_view> words, uint64_t call) {
  const std::string_view type = words[1];
  const std::string_view function = words[2];
  const std::string why(words.size() > 3 ? words[3] : std::string_view());
  if (type == ":info" || (type == ":fail" && function == ":read")) {
    return Unknown{.call = call, .why = why};
  }
  if (type == ":fail" && function == ":write") return Failed{.call = call, .why = why};
  Answered answered{.call = call, .reply = {}};
  answered.reply.succeeded = type == ":ok";  // a failed cas has seen another value
  if (function != ":read") return answered;
  Answer answer;
  answer.count = why == "nil" || why.empty() ? 0 : 1;
  if (answer.count == 1) answer.rows = {Row{.key = {}, .value = why}};
  answered.reply.answers = {answer};
  return answered;
}

Result<void> add_register_line(History& history, Calls& calls, std::string_view line,
                               size_t number) {
  const std::vector<std::string_view> words = words_behind_dash(line);
  if (words.size() < 3) return {};
  const std::optional<uint32_t> process = number_of(words[0]);
  if (!process) return {};  // the nemesis
  const std::string_view type = words[1];
  if (type == ":invoke") {
    std::optional<Call> call = register_call(words);
    if (!call) return wrong_line(number, "only read, write VALUE and cas [OLD NEW] are known");
    if (!calls.open.emplace(*process, calls.next).second) {
      return wrong_line(number, "the process is still busy");
    }
    return history.add(
        line_time(number),
        Invoked{.call = calls.next++, .process = *process, .what = std::move(*call)});
  }
  if (type != ":ok" && type != ":fail" && type != ":info") {
    return wrong_line(number, "only :invoke, :ok, :fail and :info are known");
  }
  const auto open = calls.open.find(*process);
  if (open == calls.open.end()) return wrong_line(number, "an answer to a call never made");
  const Operation& operation = history.operations()[open->second - 1];
  const bool cas = operation.transaction;
  if (cas != (words[2] == ":cas")) return wrong_line(number, "an answer to another function");
  const Record record = register_answer(words, open->second);
  calls.open.erase(open);
  return history.add(line_time(number), record);
}

// ---- Clojure maps.

class MapReader {
 public:
  explicit MapReader(std::string_view line) : rest_(line) {}
  // `:name` -> value; keywords and numbers as they are written, texts without their quotes, nil
  // left out.
  std::optional<std::map<std::string, std::string>> read() {
    std::map<std::string, std::string> fields;
    if (!accept('{')) return std::nullopt;
    while (!accept('}')) {
      const std::optional<std::string> name = value();
      if (!name || !name->starts_with(':')) return std::nullopt;
      const bool text = peek() == '"';
      std::optional<std::string> content = value();
      if (!content) return std::nullopt;
      if (text || *content != "nil") fields[*name] = std::move(*content);
    }
    return fields;
  }

 private:
  char peek() {
    const size_t start = rest_.find_first_not_of(" \t,");
    rest_.remove_prefix(std::min(start, rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char wanted) {
    if (peek() != wanted || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }
  std::optional<std::string> value() {
    if (accept('"')) return text();
    peek();
    const size_t end = std::min(rest_.find_first_of(" \t,{}\""), rest_.size());
    if (end == 0) return std::nullopt;
    std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return word;
  }
  std::optional<std::string> text() {
    std::string out;
    while (!rest_.empty()) {
      char character = rest_.front();
      rest_.remove_prefix(1);
      if (character == '"') return out;
      if (character == '\\') {
        if (rest_.empty()) return std::nullopt;
        character = rest_.front() == 'n' ? '\n' : rest_.front() == 't' ? '\t' : rest_.front();
        rest_.remove_prefix(1);
      }
      out += character;
    }
    return std::nullopt;
  }

  std::string_view rest_;
};

struct KeyValueLine {
  size_t number = 0;
  uint32_t process = 0;
  std::string type;
  Verb verb = Verb::get;
  std::string key;
  std::string value;
};

Result<KeyValueLine> read_key_value_line(std::string_view line, size_t number) {
  auto fields = MapReader(line).read();
  if (!fields) return wrong_line(number, "not a map of keywords and values");
  KeyValueLine result;
  result.number = number;
  const std::optional<uint32_t> process = number_of((*fields)[":process"]);
  if (!process) return wrong_line(number, ":process is no number");
  result.process = *process;
  result.type = (*fields)[":type"];
  if (result.type != ":invoke" && result.type != ":ok" && result.type != ":fail" &&
      result.type != ":info") {
    return wrong_line(number, "only :invoke, :ok, :fail and :info are known");
  }
  const std::string& function = (*fields)[":f"];
  if (function == ":put") {
    result.verb = Verb::put;
  } else if (function == ":append") {
    result.verb = Verb::append;
  } else if (function != ":get") {
    return wrong_line(number, "only get, put and append are known");
  }
  result.key = (*fields)[":key"];
  result.value = (*fields)[":value"];
  return result;
}

Result<void> add_key_value_line(History& history, Calls& calls, const KeyValueLine& line) {
  const Time at = line_time(line.number);
  if (line.type == ":invoke") {
    if (!calls.open.emplace(line.process, calls.next).second) {
      return fail(ErrorKind::invalid, "the process is still busy");
    }
    Call call;
    Request request;
    request.verb = line.verb;
    request.key = line.key;
    if (line.verb != Verb::get) request.value = line.value;
    call.then = {std::move(request)};
    return history.add(at, Invoked{.call = calls.next++, .process = line.process, .what = call});
  }
  const auto open = calls.open.find(line.process);
  if (open == calls.open.end()) {
    return fail(ErrorKind::invalid, "an answer to a call never made");
  }
  const uint64_t call = open->second;
  calls.open.erase(open);
  if (line.type == ":info") return history.add(at, Unknown{.call = call, .why = {}});
  if (line.type == ":fail") return history.add(at, Failed{.call = call, .why = {}});
  Answered answered{.call = call, .reply = {}};
  if (line.verb == Verb::get) {
    answered.reply.answers.resize(1);
    answered.reply.answers[0].rows = {Row{.key = {}, .value = line.value}};
  }
  return history.add(at, answered);
}

}  // namespace

Result<History> read_register_log(std::string_view file) {
  History history;
  history.set_timeless();
  Calls calls;
  size_t number = 0;
  while (!file.empty()) {
    ++number;
    const Result<void> added = add_register_line(history, calls, take_line(file), number);
    if (!added) return std::unexpected(added.error());
  }
  return history;
}

Result<History> read_key_value_log(std::string_view file) {
  std::vector<KeyValueLine> lines;
  std::set<std::string> keys;
  size_t number = 0;
  while (!file.empty()) {
    ++number;
    const std::string_view line = take_line(file);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    Result<KeyValueLine> read = read_key_value_line(line, number);
    if (!read) return std::unexpected(read.error());
    keys.insert(read->key);
    lines.push_back(std::move(*read));
  }
  History history;
  history.set_timeless();
  Start start;
  for (const std::string& key : keys) start.rows.push_back(Row{.key = key, .value = ""});
  Result<void> added = history.add(line_time(0), start);
  if (!added) return std::unexpected(added.error());
  Calls calls;
  for (const KeyValueLine& line : lines) {
    added = add_key_value_line(history, calls, line);
    if (!added) return wrong_line(line.number, added.error().text);
  }
  return history;
}

Result<LoadedHistory> read_any_history(std::string_view file) {
  const auto loaded = [](Result<History> history, Format format) -> Result<LoadedHistory> {
    if (!history) return std::unexpected(history.error());
    return LoadedHistory{.history = std::move(*history), .format = format};
  };
  if (is_history(file)) return loaded(read_history(file), Format::quorate);
  const size_t start = file.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && file[start] == '{') {
    return loaded(read_key_value_log(file), Format::key_value_log);
  }
  if (file.substr(0, size_t{1} << 16).find("jepsen.util - ") != std::string_view::npos) {
    return loaded(read_register_log(file), Format::register_log);
  }
  return fail(ErrorKind::invalid,
              "neither a history of ours (first line \"quorate-history 1\"), nor Jepsen's log of a "
              "register, nor events of a key-value log as Clojure maps");
}

}  // namespace quorate::check
