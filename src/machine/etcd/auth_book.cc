#include "machine/etcd/auth_book.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using storage::WriteBatch;

namespace {

template <class Row, class Decode>
Result<bool> load_table(const storage::KvStore& rows, std::string_view table, std::string_view end,
                        std::map<std::string, Row, std::less<>>& target, const Decode& decode) {
  bool good = true;
  const Result<void> scanned =
      rows.scan(table, end, [&](std::string_view key, std::string_view value) {
        auto row = decode(value);
        good = row.has_value();
        if (good) target.insert_or_assign(std::string(key.substr(table.size())), std::move(*row));
        return good;
      });
  if (!scanned) return std::unexpected(scanned.error());
  return good;
}

}  // namespace

// ---- Rows.

Result<void> AuthBook::load(const storage::KvStore& rows) {
  const Result<std::optional<std::string>> text = rows.get(kAuthStateKey);
  if (!text) return std::unexpected(text.error());
  bool good = true;
  if (*text) {
    const std::optional<AuthState> stored = decode_auth_state(**text);
    good = stored.has_value();
    if (good) state_ = *stored;
  }
  const Result<bool> users =
      load_table(rows, kAuthUserTable, kAuthUserTableEnd, users_, decode_auth_user);
  if (!users) return std::unexpected(users.error());
  const Result<bool> roles =
      load_table(rows, kAuthRoleTable, kAuthRoleTableEnd, roles_, decode_auth_role);
  if (!roles) return std::unexpected(roles.error());
  if (good && *users && *roles) return {};
  return std::unexpected(unreadable_auth());
}

void AuthBook::write_state() { batch_->put(kAuthStateKey, encode_auth_state(state_)); }

void AuthBook::write_user(const std::string& name, const AuthUser& user) {
  batch_->put(auth_row_key(kAuthUserTable, name), encode_auth_user(user));
}

void AuthBook::write_role(const std::string& name, const AuthRole& role) {
  batch_->put(auth_row_key(kAuthRoleTable, name), encode_auth_role(role));
}

void AuthBook::remove_user_row(const std::string& name) {
  batch_->remove(auth_row_key(kAuthUserTable, name));
}

void AuthBook::remove_role_row(const std::string& name) {
  batch_->remove(auth_row_key(kAuthRoleTable, name));
}

void AuthBook::count_change() {
  ++state_.revision;
  if (!QRT_MUTANT(A02)) ranges_.clear();
  write_state();
}

uint32_t AuthBook::add_to_hash(uint32_t crc) const {
  if (state_.revision == 1 && !state_.enabled) return crc;
  Encoder encoder;
  encoder.string("auth");
  encoder.u8(state_.enabled ? 1 : 0);
  encoder.u64(state_.revision);
  for (const auto& [name, user] : users_) {
    encoder.string(name);
    encoder.string(encode_auth_user(user));
  }
  for (const auto& [name, role] : roles_) {
    encoder.string(name);
    encoder.string(encode_auth_role(role));
  }
  return crc32c(encoder.text(), crc);
}

// ---- Looks.

const AuthUser* AuthBook::find_user(std::string_view name) const {
  const auto place = users_.find(name);
  return place == users_.end() ? nullptr : &place->second;
}

const AuthRole* AuthBook::find_role(std::string_view name) const {
  const auto place = roles_.find(name);
  return place == roles_.end() ? nullptr : &place->second;
}

bool AuthBook::has_role(std::string_view user, std::string_view role) const {
  const AuthUser* found = find_user(user);
  return found != nullptr && found->roles.contains(role);
}

bool AuthBook::still_proven(std::string_view user, uint64_t auth_revision) const {
  const AuthUser* found = find_user(user);
  return found != nullptr && auth_revision >= found->changed &&
         auth_revision >= state_.enabled_since;
}

// ---- Checks. The order of the refusals is etcd's.

Code AuthBook::check_user(const Caller& caller) const {
  if (!state_.enabled || caller.system) return Code::ok;
  if (caller.user.empty()) return Code::user_empty;
  if (find_user(caller.user) == nullptr) return Code::permission_denied;
  // Told like this, clients prove their password once more.
  return still_proven(caller.user, caller.auth_revision) ? Code::ok : Code::auth_old_revision;
}

Code AuthBook::check_root(const Caller& caller) const {
  if (!state_.enabled || caller.system) return Code::ok;
  if (!caller.user.empty() && find_user(caller.user) == nullptr) return Code::user_not_found;
  if (const Code code = check_user(caller); code != Code::ok) return code;
  if (QRT_MUTANT(A06_ROOT)) return Code::ok;
  return has_role(caller.user, kRootRole) ? Code::ok : Code::permission_denied;
}

Code AuthBook::check_range(const Caller& caller, std::string_view key, std::string_view range_end,
                           Access access) const {
  if (!state_.enabled || caller.system) return Code::ok;
  if (caller.user.empty()) return Code::user_empty;
  // What the caller may was true at another revision of the auth store: nobody knows whether it
  // was meant to be so for this request.
  const bool old = caller.auth_revision != state_.revision;
  if (old && !QRT_MUTANT(A01_OLD)) return Code::auth_old_revision;
  const AuthUser* user = find_user(caller.user);
  if (user == nullptr) return Code::permission_denied;
  if (user->roles.contains(kRootRole)) return Code::ok;
  const Ranges& ranges = ranges_of(caller.user, *user);
  const PermittedRanges& permitted = access == Access::read ? ranges.read : ranges.write;
  return permitted.contains(key, range_end) ? Code::ok : Code::permission_denied;
}

const AuthBook::Ranges& AuthBook::ranges_of(std::string_view name, const AuthUser& user) const {
  if (const auto known = ranges_.find(name); known != ranges_.end()) return known->second;
  Ranges made;
  for (const std::string& role : user.roles) {
    const AuthRole* found = find_role(role);
    if (found == nullptr) continue;
    for (const auto& [range, kind] : found->permissions) {
      if (kind != PermissionKind::write) made.read.add(range.first, range.second);
      if (kind != PermissionKind::read) made.write.add(range.first, range.second);
    }
  }
  return ranges_.emplace(name, std::move(made)).first->second;
}

// ---- Tokens.

void AuthBook::tokens_after(Index after, const std::function<void(const TokenNews&)>& visit) const {
  auto place = news_.end();
  while (place != news_.begin() && std::prev(place)->index > after) --place;
  for (; place != news_.end(); ++place) visit(*place);
}

Code AuthBook::authenticate(const AuthenticateRequest& request, Index index, std::string* body) {
  if (!state_.enabled) return Code::auth_not_enabled;
  const AuthUser* user = find_user(request.name);
  if (user == nullptr || user->no_password || user->hash.empty()) return Code::auth_failed;
  // The password that was right may be another one by now.
  if (request.checked_revision != state_.revision) return Code::auth_old_revision;
  TokenNews news;
  news.index = index;
  news.token = std::string(request.token_prefix) + "." + std::to_string(index.value);
  news.user = request.name;
  news.auth_revision = state_.revision;
  if (body != nullptr) protobuf::write_bytes(2, news.token, *body);
  if (news_.size() >= kTokenNewsMax) news_.pop_front();
  news_.push_back(std::move(news));
  return Code::ok;
}

}  // namespace quorate::machine::etcd
