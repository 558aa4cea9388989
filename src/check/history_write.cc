#include <algorithm>
#include <string>
#include <utility>

#include "check/history_text.h"
#include "check/words.h"

namespace quorate::check {
namespace {

// Bytes of the well-formed UTF-8 sequence that starts here; 0 if there is none.
size_t sequence_size(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t size = lead < 0x80   ? 1
                      : lead < 0xc2 ? 0
                      : lead < 0xe0 ? 2
                      : lead < 0xf0 ? 3
                      : lead < 0xf5 ? 4
                                    : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool too_long = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
  const bool too_large = lead == 0xf4 && byte(1) >= 0x90;
  return too_long || surrogate || too_large ? 0 : size;
}

void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const size_t size = sequence_size(text);
    if (text[0] == '"' || text[0] == '\\') {
      out += '\\';
      out += text[0];
    } else if (text[0] == '\n') {
      out += "\\n";
    } else if (size == 0 || byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  out += '"';
}

// Writes one record behind the time. Fields that say nothing are left out.
class LineWriter {
 public:
  explicit LineWriter(std::string& out) : out_(out) {}

  void operator()(const Start& record) {
    word("start");
    number("revision", record.revision);
    if (record.compacted != 0) number("compacted", record.compacted);
    rows(record.rows);
  }
  void operator()(const Invoked& record) {
    numbered("call", record.call);
    number("process", record.process);
    const Call& call = record.what;
    if (!call.transaction) return request(call.then.front());
    word("txn");
    for (const Condition& each : call.conditions) condition(each);
    branch("then", call.then);
    branch("else", call.otherwise);
  }
  void operator()(const Answered& record) {
    numbered("ok", record.call);
    known("revision", record.reply.revision);
    flag("refused", !record.reply.succeeded);
    for (const Answer& each : record.reply.answers) {
      word("answer");
      known("count", each.count);
      known("ttl", each.ttl);
      flag("more", each.more);
      rows(each.rows);
    }
  }
  void operator()(const Failed& record) {
    numbered("failed", record.call);
    reason(record.why);
  }
  void operator()(const Unknown& record) {
    numbered("unknown", record.call);
    reason(record.why);
  }
  void operator()(const WatchOpened& record) {
    numbered("watch", record.watch);
    number("process", record.process);
    range(record.key, record.end);
    if (record.from != 0) number("from", record.from);
    flag("previous", record.previous);
    flag("progress", record.progress);
    flag("no_put", record.no_put);
    flag("no_delete", record.no_delete);
    flag("fragment", record.fragment);
  }
  void operator()(const WatchCreated& record) {
    numbered("created", record.watch);
    known("revision", record.revision);
  }
  void operator()(const WatchDelivered& record) {
    numbered("events", record.watch);
    known("revision", record.revision);
    flag("fragment", record.fragment);
    for (const WatchEvent& event : record.events) {
      word(event.erased ? "delete" : "put");
      row(event.row);
      if (!event.previous) continue;
      word("was");
      row(*event.previous);
    }
  }
  void operator()(const WatchProgress& record) {
    numbered("progress", record.watch);
    number("revision", record.revision);
  }
  void operator()(const WatchEnded& record) {
    numbered("ended", record.watch);
    if (record.compacted != 0) number("compacted", record.compacted);
    reason(record.why);
  }
  void operator()(const Committed& record) {
    word("committed");
    number("revision", record.revision);
    unsigned_number("call", record.call);
  }
  void operator()(const Expired& record) {
    word("expired");
    number("lease", record.lease);
    if (record.revision != 0) number("revision", record.revision);
  }
  void operator()(const Settled& /*record*/) { word("settled"); }
  void operator()(const StateHash& record) {
    word("hash");
    unsigned_number("member", record.member);
    number("revision", record.revision);
    unsigned_number("hash", record.hash);
  }
  void operator()(const QueueSample& record) {
    word("queue");
    unsigned_number("member", record.member);
    text("name", record.name);
    unsigned_number("size", record.size);
    unsigned_number("limit", record.limit);
  }

 private:
  void word(std::string_view name) {
    out_ += ' ';
    out_ += name;
  }
  void flag(std::string_view name, bool on) {
    if (on) word(name);
  }
  void numbered(std::string_view name, uint64_t value) {
    word(name);
    out_ += ' ';
    out_ += std::to_string(value);
  }
  void number(std::string_view name, int64_t value) {
    word(name);
    out_ += '=';
    out_ += std::to_string(value);
  }
  void unsigned_number(std::string_view name, uint64_t value) {
    word(name);
    out_ += '=';
    out_ += std::to_string(value);
  }
  void known(std::string_view name, int64_t value) {
    if (value != kNotRecorded) number(name, value);
  }
  void text(std::string_view name, std::string_view value) {
    word(name);
    out_ += '=';
    append_quoted(out_, value);
  }
  void reason(std::string_view why) {
    if (why.empty()) return;
    out_ += ' ';
    append_quoted(out_, why);
  }
  void range(std::string_view key, std::string_view end) {
    text("key", key);
    if (!end.empty()) text("end", end);
  }
  void row(const Row& row) {
    out_ += " [";
    const size_t start = out_.size();
    if (!row.key.empty()) text("key", row.key);
    if (row.value) text("value", *row.value);
    known("create", row.create);
    known("mod", row.mod);
    known("version", row.version);
    known("lease", row.lease);
    if (out_.size() > start) out_.erase(start, 1);  // the blank before the first field
    out_ += ']';
  }
  void rows(const std::vector<Row>& list) {
    for (const Row& each : list) row(each);
  }
  void request(const Request& request) {
    word(word_of(kVerbWords, request.verb));
    if (!request.key.empty() || !request.end.empty()) range(request.key, request.end);
    if (!request.value.empty()) text("value", request.value);
    if (request.lease != 0) number("lease", request.lease);
    if (request.revision != 0) number("revision", request.revision);
    if (request.limit != 0) number("limit", request.limit);
    if (request.ttl != 0) number("ttl", request.ttl);
    flag("serializable", request.serializable);
    flag("keys_only", request.keys_only);
    flag("count_only", request.count_only);
    flag("previous", request.previous);
    flag("ignore_value", request.ignore_value);
    flag("ignore_lease", request.ignore_lease);
  }
  void branch(std::string_view name, const std::vector<Request>& requests) {
    for (const Request& each : requests) {
      word(name);
      request(each);
    }
  }
  void condition(const Condition& condition) {
    word("if");
    word(word_of(kTargetWords, condition.target));
    out_ += ' ';
    append_quoted(out_, condition.key);
    word(word_of(kRelationWords, condition.relation));
    out_ += ' ';
    if (condition.target == Target::value) {
      append_quoted(out_, condition.value);
    } else {
      out_ += std::to_string(condition.number);
    }
  }

  std::string& out_;
};

}  // namespace

std::string quoted(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

HistoryWriter::HistoryWriter(std::string& out) : out_(out) { out_ += "quorate-history 1\n"; }

void HistoryWriter::record(Time at, const Record& record) {
  out_ += std::to_string(at.time_since_epoch().count());
  std::visit(LineWriter(out_), record);
  out_ += '\n';
}

}  // namespace quorate::check
