// What each change of the auth store does, and when it is refused; as etcd has it.
#include "base/check.h"
#include "machine/etcd/auth_book.h"

namespace quorate::machine::etcd {

namespace {

// Keys of no length and ranges that end before they begin permit nothing: a slip, so it is said.
bool is_valid_range(const Permission& permission) {
  if (permission.key.empty()) return false;
  if (permission.range_end.empty() || permission.range_end == std::string_view("\0", 1)) {
    return true;
  }
  return permission.key < permission.range_end;
}

std::pair<std::string, std::string> range_of(const Permission& permission) {
  return {std::string(permission.key), std::string(permission.range_end)};
}

}  // namespace

Code AuthBook::apply(std::string_view request, Index index, storage::WriteBatch& batch,
                     std::string* body) {
  if (request.empty()) return Code::malformed;
  const auto number = static_cast<uint8_t>(request.front());
  if (number < static_cast<uint8_t>(AuthOperation::enable) ||
      number > static_cast<uint8_t>(AuthOperation::authenticate)) {
    return Code::malformed;
  }
  const auto operation = static_cast<AuthOperation>(number);
  const std::string_view wire = request.substr(1);
  if (operation == AuthOperation::authenticate) {
    const auto login = decode_authenticate_request(wire);
    return login ? authenticate(*login, index, body) : Code::malformed;
  }
  batch_ = &batch;
  const Code code = change(operation, wire);
  batch_ = nullptr;
  return code;
}

Code AuthBook::change(AuthOperation operation, std::string_view wire) {
  switch (operation) {
    case AuthOperation::enable:
      return enable();
    case AuthOperation::disable:
      if (!state_.enabled) return Code::ok;
      state_.enabled = false;
      count_change();
      return Code::ok;
    case AuthOperation::user_add:
    case AuthOperation::user_delete:
    case AuthOperation::user_change_password:
    case AuthOperation::user_grant_role:
    case AuthOperation::user_revoke_role:
      return change_user(operation, wire);
    case AuthOperation::role_add:
    case AuthOperation::role_delete:
    case AuthOperation::role_grant_permission:
    case AuthOperation::role_revoke_permission:
      return change_role(operation, wire);
    case AuthOperation::authenticate:
      break;  // changes nothing that is stored
  }
  CHECK(false, "every change is known");
}

Code AuthBook::change_user(AuthOperation operation, std::string_view wire) {
  if (operation == AuthOperation::user_add) {
    const auto request = decode_user_add_request(wire);
    return request ? add_user(*request) : Code::malformed;
  }
  if (operation == AuthOperation::user_change_password) {
    const auto request = decode_user_change_password_request(wire);
    return request ? change_password(*request) : Code::malformed;
  }
  const auto request = decode_named_request(wire);
  if (!request) return Code::malformed;
  if (operation == AuthOperation::user_delete) return delete_user(request->first);
  if (operation == AuthOperation::user_grant_role) return grant_role(*request);
  return revoke_role(*request);
}

Code AuthBook::change_role(AuthOperation operation, std::string_view wire) {
  if (operation == AuthOperation::role_grant_permission) {
    const auto request = decode_role_grant_permission_request(wire);
    return request ? grant_permission(*request) : Code::malformed;
  }
  if (operation == AuthOperation::role_revoke_permission) {
    const auto request = decode_role_revoke_permission_request(wire);
    return request ? revoke_permission(*request) : Code::malformed;
  }
  const auto request = decode_named_request(wire);
  if (!request) return Code::malformed;
  if (operation == AuthOperation::role_add) return add_role(request->first);
  return delete_role(request->first);
}

// Without a root nobody could ever change or end it.
Code AuthBook::enable() {
  if (state_.enabled) return Code::ok;
  const AuthUser* root = find_user(kRootUser);
  if (root == nullptr) return Code::root_user_missing;
  if (!root->roles.contains(kRootRole)) return Code::root_role_missing;
  state_.enabled = true;
  state_.enabled_since = state_.revision;
  write_state();  // etcd does not count this as a change
  return Code::ok;
}

Code AuthBook::add_user(const UserRequest& request) {
  if (request.name.empty()) return Code::user_empty;
  if (users_.contains(request.name)) return Code::user_exists;
  if (!request.no_password && request.hash.empty()) return Code::malformed;
  count_change();
  AuthUser& user = users_[std::string(request.name)];
  user.no_password = request.no_password;
  if (!request.no_password) user.hash = request.hash;
  user.changed = state_.revision;
  write_user(std::string(request.name), user);
  return Code::ok;
}

Code AuthBook::delete_user(std::string_view name) {
  if (state_.enabled && name == kRootUser) return Code::invalid_auth_management;
  const auto place = users_.find(name);
  if (place == users_.end()) return Code::user_not_found;
  remove_user_row(place->first);
  users_.erase(place);
  count_change();
  return Code::ok;
}

Code AuthBook::change_password(const UserRequest& request) {
  const auto place = users_.find(request.name);
  if (place == users_.end()) return Code::user_not_found;
  AuthUser& user = place->second;
  if (!user.no_password && request.hash.empty()) return Code::malformed;
  count_change();
  if (!user.no_password) user.hash = request.hash;
  user.changed = state_.revision;
  write_user(place->first, user);
  return Code::ok;
}

Code AuthBook::grant_role(const NamedRequest& request) {
  const auto place = users_.find(request.first);
  if (place == users_.end()) return Code::user_not_found;
  // The role of root means what it means whether or not somebody made it.
  if (request.second != kRootRole && !roles_.contains(request.second)) return Code::role_not_found;
  if (!place->second.roles.emplace(request.second).second) return Code::ok;
  write_user(place->first, place->second);
  count_change();
  return Code::ok;
}

Code AuthBook::revoke_role(const NamedRequest& request) {
  if (state_.enabled && request.first == kRootUser && request.second == kRootRole) {
    return Code::invalid_auth_management;
  }
  const auto place = users_.find(request.first);
  if (place == users_.end()) return Code::user_not_found;
  auto& roles = place->second.roles;
  const auto role = roles.find(request.second);
  if (role == roles.end()) return Code::role_not_granted;
  roles.erase(role);
  write_user(place->first, place->second);
  count_change();
  return Code::ok;
}

Code AuthBook::add_role(std::string_view name) {
  if (name.empty()) return Code::role_empty;
  if (roles_.contains(name)) return Code::role_exists;
  const auto place = roles_.emplace(name, AuthRole()).first;
  write_role(place->first, place->second);
  count_change();
  return Code::ok;
}

Code AuthBook::delete_role(std::string_view name) {
  if (state_.enabled && name == kRootRole) return Code::invalid_auth_management;
  const auto place = roles_.find(name);
  if (place == roles_.end()) return Code::role_not_found;
  for (auto& [user_name, user] : users_) {
    const auto role = user.roles.find(name);
    if (role == user.roles.end()) continue;
    user.roles.erase(role);
    write_user(user_name, user);
  }
  remove_role_row(place->first);
  roles_.erase(place);
  count_change();
  return Code::ok;
}

Code AuthBook::grant_permission(const RolePermissionRequest& request) {
  if (!request.permission) return Code::permission_not_given;
  if (!is_valid_range(*request.permission)) return Code::invalid_auth_management;
  const auto place = roles_.find(request.role);
  if (place == roles_.end()) return Code::role_not_found;
  place->second.permissions[range_of(*request.permission)] = request.permission->kind;
  write_role(place->first, place->second);
  count_change();
  return Code::ok;
}

Code AuthBook::revoke_permission(const RolePermissionRequest& request) {
  const auto place = roles_.find(request.role);
  if (place == roles_.end()) return Code::role_not_found;
  if (place->second.permissions.erase(range_of(*request.permission)) == 0) {
    return Code::permission_not_granted;
  }
  write_role(place->first, place->second);
  count_change();
  return Code::ok;
}

}  // namespace quorate::machine::etcd
