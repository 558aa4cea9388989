#include "machine/etcd/backup.h"

#include <algorithm>

#include "base/check.h"
#include "consensus/members.h"
#include "machine/etcd/alarms.h"
#include "machine/etcd/auth_rows.h"
#include "machine/etcd/big_endian.h"
#include "machine/etcd/lease_rows.h"
#include "machine/etcd/position_row.h"
#include "storage/bolt/page.h"
#include "storage/bolt/writer.h"
#include "storage/kv/kv_store.h"
#include "storage/mvcc/protobuf.h"
#include "storage/mvcc/revision.h"
#include "storage/mvcc/revisions_row.h"
#include "storage/mvcc/store.h"

namespace quorate::machine::etcd {

namespace {

using SmallRows = std::vector<std::pair<std::string, std::string>>;

constexpr char kKeyTable = storage::mvcc::kRowTable;
constexpr char kLeases = 'l';  // stands for kLeaseTable

std::string hexadecimal(uint64_t number) {
  std::string text;
  do {
    text.insert(text.begin(), "0123456789abcdef"[number & 15U]);
    number >>= 4U;
  } while (number != 0);
  return text;
}

void append_json(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    const auto value = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (value < 0x20) {
      out += "\\u00";
      out.push_back("0123456789abcdef"[value >> 4U]);
      out.push_back("0123456789abcdef"[value & 15U]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

template <class List, class Append>
void append_json_list(const List& list, std::string& out, const Append& append) {
  out.push_back('[');
  for (const auto& each : list) {
    if (out.back() != '[') out.push_back(',');
    append(each);
  }
  out.push_back(']');
}

std::string member_json(const BackupMember& member) {
  const auto append_urls = [](const std::vector<std::string>& urls, std::string& out) {
    append_json_list(urls, out, [&](const std::string& url) { append_json(url, out); });
  };
  std::string out = "{\"id\":" + std::to_string(member.id) + ",\"peerURLs\":";
  append_urls(member.peer_urls, out);
  if (member.learner) out += ",\"isLearner\":true";
  if (!member.name.empty()) {
    out += ",\"name\":";
    append_json(member.name, out);
  }
  if (!member.client_urls.empty()) {
    out += ",\"clientURLs\":";
    append_urls(member.client_urls, out);
  }
  return out + "}";
}

// raft's ConfState, as etcd writes it down from 3.5 on.
std::string configuration_json(const consensus::Members& members) {
  std::string out = "{";
  const auto add = [&](std::string_view name, const std::vector<consensus::Member>& list) {
    if (list.empty()) return;
    append_json(name, out);
    out.push_back(':');
    append_json_list(list, out,
                     [&](const consensus::Member& each) { out += std::to_string(each.id.value); });
    out.push_back(',');
  };
  add("voters", members.voters);
  add("learners", members.learners);
  return out + "\"auto_leave\":false}";
}

SmallRows meta_rows(const AppliedPosition& position,
                    const storage::mvcc::StoredRevisions& revisions) {
  SmallRows rows;
  if (const auto members = consensus::decode_members(position.members)) {
    rows.emplace_back("confState", configuration_json(*members));
  }
  rows.emplace_back("consistent_index", big_endian(position.index.value));
  if (revisions.compacted > 0) {
    std::string revision;
    storage::mvcc::append_row_key({{revisions.compacted, 0}, false}, revision);
    // A removal under way goes on where the backup is restored.
    if (!revisions.compacting) rows.emplace_back("finishedCompactRev", revision);
    rows.emplace_back("scheduledCompactRev", revision);
  }
  rows.emplace_back("term", big_endian(position.round));
  return rows;
}

SmallRows member_rows(const std::vector<BackupMember>& members) {
  SmallRows rows;
  for (const BackupMember& member : members) {
    rows.emplace_back(hexadecimal(member.id), member_json(member));
  }
  std::ranges::sort(rows);
  return rows;
}

// Marshalled AlarmMembers are the keys, and there is nothing more to say.
Result<SmallRows> alarm_rows(const storage::KvView& state) {
  SmallRows rows;
  bool damaged = false;
  const auto scanned =
      state.scan(kAlarmTable, kAlarmTableEnd, [&](std::string_view key, std::string_view value) {
        const auto alarm = decode_alarm_row(key, value);
        damaged = !alarm;
        if (damaged) return false;
        std::string member;
        protobuf::write_number(1, static_cast<int64_t>(alarm->member), member);
        protobuf::write_number(2, static_cast<int64_t>(alarm->kind), member);
        rows.emplace_back(std::move(member), std::string());
        return true;
      });
  if (!scanned) return std::unexpected(scanned.error());
  if (damaged)
    return fail(ErrorKind::corrupt,
                "The row store is damaged: an alarm cannot be decoded. Replace the member, or "
                "restore it from a snapshot.");
  std::ranges::sort(rows);
  return rows;
}

Error unreadable_lease() {
  return {ErrorKind::corrupt,
          "The row store is damaged: a lease cannot be decoded. Replace the member, or restore it "
          "from a snapshot."};
}

}  // namespace

struct Backup::Pass {
  storage::bolt::Writer writer;
  size_t bucket = 0;
  bool begun = false;  // that bucket
  std::string next;    // row of its table
  bool front_given = false;
};

Backup::Backup(std::unique_ptr<const storage::KvView> state, std::vector<BackupMember> members)
    : state_(std::move(state)), members_(std::move(members)) {}

Backup::~Backup() = default;

Result<void> Backup::prepare() {
  const auto position_text = state_->get(kPositionKey);
  if (!position_text) return std::unexpected(position_text.error());
  const auto position = decode_position(*position_text);
  if (!position) return std::unexpected(position.error());
  const auto revisions_text = state_->get(storage::mvcc::kRevisionsKey);
  if (!revisions_text) return std::unexpected(revisions_text.error());
  storage::mvcc::StoredRevisions revisions;
  if (*revisions_text) {
    const auto stored = storage::mvcc::decode_revisions(**revisions_text);
    if (!stored) return std::unexpected(stored.error());
    revisions = *stored;
  }
  auto auth = auth_buckets(*state_);
  if (!auth) return std::unexpected(auth.error());
  auto alarms = alarm_rows(*state_);
  if (!alarms) return std::unexpected(alarms.error());
  // In the order of their names. etcd makes up its mind about the cluster's version by itself.
  buckets_ = {{"alarm", std::move(*alarms)},
              {"auth", std::move(auth->auth)},
              {"authRoles", std::move(auth->roles)},
              {"authUsers", std::move(auth->users)},
              {"cluster", {}},
              {"key", {}, kKeyTable},
              {"lease", {}, kLeases},
              {"members", member_rows(members_)},
              {"members_removed", {}},
              {"meta", meta_rows(*position, revisions)}};
  return {};
}

// Copies on from `pass.next`. True: the table is finished.
Result<bool> Backup::copy_table(Pass& pass, const Bucket& bucket, size_t work, size_t& done) {
  const bool leases = bucket.table == kLeases;
  const std::string first = leases ? std::string(kLeaseTable) : std::string(1, kKeyTable);
  const std::string end =
      leases ? std::string(kLeaseTableEnd) : std::string(1, static_cast<char>(kKeyTable + 1));
  if (pass.next.empty()) pass.next = first;
  bool more = false;
  bool damaged = false;
  const auto scanned =
      state_->scan(pass.next, end, [&](std::string_view key, std::string_view value) {
        if (done >= work) {
          pass.next = key;
          more = true;
          return false;
        }
        done += key.size() + value.size();
        if (!leases) {
          pass.writer.put(key.substr(first.size()), value);
          return true;
        }
        const auto id = decode_lease_row_key(key);
        const auto term = decode_lease_row(value);
        damaged = !id || !term;
        if (damaged) return false;
        std::string lease;
        protobuf::write_number(1, *id, lease);
        protobuf::write_number(2, term->granted_seconds, lease);
        protobuf::write_number(3, term->left_seconds, lease);
        pass.writer.put(key.substr(first.size()), lease);
        return true;
      });
  if (!scanned) return std::unexpected(scanned.error());
  if (damaged) return std::unexpected(unreadable_lease());
  return !more;
}

// True: every bucket is written.
Result<bool> Backup::advance(Pass& pass, size_t work) {
  size_t done = 0;
  while (pass.bucket < buckets_.size()) {
    const Bucket& bucket = buckets_[pass.bucket];
    if (!pass.begun) pass.writer.begin_bucket(bucket.name);
    pass.begun = true;
    if (bucket.table != 0) {
      const auto finished = copy_table(pass, bucket, work, done);
      if (!finished || !*finished) return finished;
    }
    for (const auto& [key, value] : bucket.rows) pass.writer.put(key, value);
    pass.writer.end_bucket();
    pass.begun = false;
    pass.next.clear();
    ++pass.bucket;
  }
  return true;
}

Result<bool> Backup::measure(size_t work) {
  CHECK(bytes_ == 0, "a backup is measured once");
  if (pass_ == nullptr) {
    if (auto prepared = prepare(); !prepared) return std::unexpected(prepared.error());
    pass_ = std::make_unique<Pass>();
  }
  const auto finished = advance(*pass_, work);
  pass_->writer.output().clear();
  if (!finished || !*finished) return finished;
  front_ = pass_->writer.finish();
  bytes_ = pass_->writer.page_count() * storage::bolt::kPageBytes;
  pass_ = std::make_unique<Pass>();
  return true;
}

Result<bool> Backup::read(size_t work, std::string& out) {
  CHECK(bytes_ != 0, "a backup is measured before it is read");
  if (!pass_->front_given) out += front_;
  pass_->front_given = true;
  const auto finished = advance(*pass_, work);
  if (!finished) return finished;
  if (*finished && pass_->writer.finish() != front_) {
    return fail(ErrorKind::corrupt,
                "The row store gave two different answers for one state, so its device or this "
                "machine's memory is failing. Take the snapshot from another member, and replace "
                "this one.");
  }
  out += pass_->writer.output();
  pass_->writer.output().clear();
  return finished;
}

}  // namespace quorate::machine::etcd
