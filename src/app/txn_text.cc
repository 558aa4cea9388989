#include "app/txn_text.h"

#include <charconv>
#include <optional>

#include "app/commands.h"

namespace quorate::app {
namespace {

namespace etcd = machine::etcd;

std::unexpected<Error> bad(const std::string& line, const std::string& why) {
  return fail(ErrorKind::invalid, "transaction line \"" + line + "\": " + why);
}

std::optional<unsigned> hex_digit(char letter) {
  if (letter >= '0' && letter <= '9') return static_cast<unsigned>(letter - '0');
  if (letter >= 'a' && letter <= 'f') return static_cast<unsigned>(letter - 'a') + 10;
  if (letter >= 'A' && letter <= 'F') return static_cast<unsigned>(letter - 'A') + 10;
  return std::nullopt;
}

// The character behind a backslash at `at`; moves `at` to its last letter.
bool unescape(const std::string& line, size_t& at, std::string& word) {
  if (++at >= line.size()) return false;
  switch (line[at]) {
    case 'n':
      word.push_back('\n');
      return true;
    case 't':
      word.push_back('\t');
      return true;
    case 'r':
      word.push_back('\r');
      return true;
    case 'x': {
      if (at + 2 >= line.size()) return false;
      const auto high = hex_digit(line[at + 1]);
      const auto low = hex_digit(line[at + 2]);
      if (!high || !low) return false;
      word.push_back(static_cast<char>(*high * 16 + *low));
      at += 2;
      return true;
    }
    default:
      word.push_back(line[at]);
      return true;
  }
}

bool parse_integer(std::string_view text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<int32_t> place_in(std::initializer_list<std::string_view> names,
                                std::string_view name) {
  int32_t place = 0;
  for (const std::string_view each : names) {
    if (each == name) return place;
    ++place;
  }
  return std::nullopt;
}

// target("key") operator "operand"
Result<etcd::Compare> parse_compare(const std::string& line, std::deque<std::string>& texts) {
  const size_t open = line.find('(');
  if (open == std::string::npos) return bad(line, "expected target(\"key\") operator \"value\"");
  const std::string name = line.substr(0, open);
  auto target = place_in({"version", "create", "mod", "value", "lease"}, name);
  if (!target) target = place_in({"ver", "c", "m", "val"}, name);  // etcdctl's short names
  if (!target) return bad(line, "the target is none of version, create, mod, value, lease");
  // The closing bracket is the last one before the operator; keys may contain brackets.
  const size_t close = line.find(") ", open);
  if (close == std::string::npos) return bad(line, "expected \") operator\" behind the key");
  auto key = split_words(line.substr(open + 1, close - open - 1));
  auto rest = split_words(line.substr(close + 2));
  if (!key || !rest || key->size() != 1 || rest->size() != 2) {
    return bad(line, "expected target(\"key\") operator \"value\"");
  }
  const auto result = place_in({"=", ">", "<", "!="}, (*rest)[0]);
  if (!result) return bad(line, "the operator is none of = > < !=");
  etcd::Compare compare;
  compare.target = *target;
  compare.result = *result;
  compare.key = texts.emplace_back((*key)[0]);
  if (*target == 3) {
    compare.value = texts.emplace_back((*rest)[1]);
  } else if (!parse_integer((*rest)[1], compare.number)) {
    return bad(line, "\"" + (*rest)[1] + "\" is not a whole number");
  }
  return compare;
}

struct Words {
  std::vector<std::string> plain;
  bool prefix = false;
  bool from_key = false;
  bool previous = false;
  bool keys_only = false;
  bool count_only = false;
  int64_t limit = 0;
  int64_t revision = 0;
};

bool read_flag(const std::string& word, Words& words) {
  if (word == "--prefix") return words.prefix = true;
  if (word == "--from-key") return words.from_key = true;
  if (word == "--prev-kv") return words.previous = true;
  if (word == "--keys-only") return words.keys_only = true;
  if (word == "--count-only") return words.count_only = true;
  if (word.starts_with("--limit=")) return parse_integer(word.substr(8), words.limit);
  if (word.starts_with("--rev=")) return parse_integer(word.substr(6), words.revision);
  return false;
}

Result<etcd::RequestOp> parse_operation(const std::string& line, std::deque<std::string>& texts) {
  auto split = split_words(line);
  if (!split) return std::unexpected(split.error());
  Words words;
  for (const std::string& word : *split) {
    if (word.starts_with("--")) {
      if (!read_flag(word, words)) return bad(line, "flag " + word + " is not understood here");
    } else {
      words.plain.push_back(word);
    }
  }
  if (words.plain.size() < 2 || words.plain.size() > 3) {
    return bad(line, "expected put KEY VALUE, get KEY [END] or del KEY [END]");
  }
  const std::string& verb = words.plain[0];
  const std::string end = words.plain.size() == 3 ? words.plain[2] : "";
  if (verb == "put") {
    if (words.plain.size() != 3) return bad(line, "put needs a key and a value");
    etcd::PutRequest put;
    put.key = texts.emplace_back(words.plain[1]);
    put.value = texts.emplace_back(end);
    put.prev_kv = words.previous;
    return etcd::RequestOp{put};
  }
  const KeyRange range = key_range(words.plain[1], end, words.prefix, words.from_key);
  const std::string_view key = texts.emplace_back(range.key);
  const std::string_view range_end = texts.emplace_back(range.end);
  if (verb == "del")
    return etcd::RequestOp{etcd::DeleteRangeRequest{key, range_end, words.previous}};
  if (verb != "get") return bad(line, "the command is none of put, get, del");
  etcd::RangeRequest get;
  get.key = key;
  get.range_end = range_end;
  get.limit = words.limit;
  get.revision = words.revision;
  get.keys_only = words.keys_only;
  get.count_only = words.count_only;
  return etcd::RequestOp{get};
}

}  // namespace

Result<std::vector<std::string>> split_words(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;  // a word has begun
  char quote = 0;
  for (size_t at = 0; at < line.size(); ++at) {
    const char letter = line[at];
    if (quote != 0) {
      if (letter == quote) {
        quote = 0;
      } else if (letter == '\\' && quote == '"') {
        if (!unescape(line, at, word)) return bad(line, "a backslash leads nowhere");
      } else {
        word.push_back(letter);
      }
    } else if (letter == '"' || letter == '\'') {
      quote = letter;
      inside = true;
    } else if (letter == ' ' || letter == '\t') {
      if (inside) words.push_back(std::exchange(word, {}));
      inside = false;
    } else {
      word.push_back(letter);
      inside = true;
    }
  }
  if (quote != 0) return bad(line, "a quote is not closed");
  if (inside) words.push_back(word);
  return words;
}

Result<ParsedTxn> parse_txn(std::istream& input, const std::function<void(int)>& begin) {
  ParsedTxn parsed;
  int block = 0;
  if (begin) begin(block);
  std::string line;
  while (block < 3 && std::getline(input, line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) {
      ++block;
      if (begin && block < 3) begin(block);
    } else if (block == 0) {
      auto compare = parse_compare(line, parsed.texts);
      if (!compare) return std::unexpected(compare.error());
      parsed.request.compare.push_back(*compare);
    } else {
      auto operation = parse_operation(line, parsed.texts);
      if (!operation) return std::unexpected(operation.error());
      auto& branch = block == 1 ? parsed.request.success : parsed.request.failure;
      branch.push_back(std::move(*operation));
    }
  }
  return parsed;
}

}  // namespace quorate::app
