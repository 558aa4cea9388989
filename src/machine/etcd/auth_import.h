// machine/etcd/auth_import.h: users, roles and the state of auth out of etcd's database file: the
// buckets auth, authUsers and authRoles.
//
// What an etcd that is newer may have added is passed over; what it must have and has not, or says
// twice in different words, makes the file one that no etcd wrote. Nothing is ever permitted that
// the file does not permit.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "machine/etcd/auth_rows.h"
#include "storage/bolt/reader.h"
#include "storage/kv/kv_store.h"

namespace quorate::machine::etcd {

struct ImportedAuth {
  AuthState state;
  std::map<std::string, AuthUser, std::less<>> users;
  std::map<std::string, AuthRole, std::less<>> roles;
  // Somebody has used auth; a store without these rows is as good as one with what etcd writes
  // into every file.
  bool used() const {
    return state.enabled || state.revision > 1 || !users.empty() || !roles.empty();
  }
};

Result<ImportedAuth> read_auth(const storage::bolt::Reader& file);
void put_auth(const ImportedAuth& auth, storage::WriteBatch& batch);

}  // namespace quorate::machine::etcd
