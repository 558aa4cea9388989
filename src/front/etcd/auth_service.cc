#include "front/etcd/auth_service.h"

#include <sys/random.h>

#include <array>

#include "base/check.h"
#include "machine/etcd/auth_messages.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::AuthBook;
using machine::etcd::AuthOperation;
using machine::etcd::AuthRole;
using machine::etcd::AuthUser;
using machine::etcd::Caller;
using machine::etcd::CommandKind;
using machine::etcd::UserRequest;

namespace {

constexpr std::string_view kService = "etcdserverpb.Auth";
constexpr size_t kTokenLetters = 16;  // etcd's; some 90 bits

std::string random_letters() {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string letters;
  while (letters.size() < kTokenLetters) {
    std::array<unsigned char, 64> bytes{};
    const auto got = ::getrandom(bytes.data(), bytes.size(), 0);
    CHECK(got == static_cast<ssize_t>(bytes.size()), "the kernel has random bytes");
    for (const unsigned char byte : bytes) {
      const size_t number = byte & 63U;  // the rest is thrown away: all letters are equally likely
      if (number < kLetters.size() && letters.size() < kTokenLetters) letters += kLetters[number];
    }
  }
  return letters;
}

}  // namespace

AuthService::AuthService(Api& api)
    : api_(api), passwords_(api.executor(), api.options().auth.bcrypt_cost) {
  add_change("AuthEnable", AuthOperation::enable);
  add_change("AuthDisable", AuthOperation::disable);
  add_change("UserDelete", AuthOperation::user_delete);
  add_change("UserGrantRole", AuthOperation::user_grant_role);
  add_change("UserRevokeRole", AuthOperation::user_revoke_role);
  add_change("RoleAdd", AuthOperation::role_add);
  add_change("RoleDelete", AuthOperation::role_delete);
  add_change("RoleGrantPermission", AuthOperation::role_grant_permission);
  add_change("RoleRevokePermission", AuthOperation::role_revoke_permission);
  add_look("AuthStatus", &AuthService::look_status);
  add_look("UserGet", &AuthService::look_user);
  add_look("UserList", &AuthService::look_users);
  add_look("RoleGet", &AuthService::look_role);
  add_look("RoleList", &AuthService::look_roles);
  add_look("Authenticate", &AuthService::check_password);
  const auto add = [this](std::string_view name, Handler handler) {
    api_.server().add_unary(kService, name, [this, handler](CallId call, std::string_view message) {
      if (api_.admit(call)) (this->*handler)(call, message);
    });
  };
  add("UserAdd", &AuthService::on_user_add);
  add("UserChangePassword", &AuthService::on_change_password);
}

void AuthService::add_change(std::string_view name, AuthOperation operation) {
  api_.server().add_unary(kService, name, [this, operation](CallId call, std::string_view message) {
    if (api_.admit(call)) propose(call, operation, message);
  });
}

void AuthService::add_look(std::string_view name, Look look) {
  api_.server().add_unary(kService, name, [this, look](CallId call, std::string_view) {
    if (api_.admit(call)) after_barrier(call, look);
  });
}

void AuthService::propose(CallId call, AuthOperation operation, std::string_view message) {
  std::string request(1, static_cast<char>(operation));
  request += message;
  api_.propose(call, CommandKind::auth, request);
}

void AuthService::after_barrier(CallId call, Look look) {
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(), call,
                                                    look](std::optional<node::RefusedWhy> why) {
    if (tether.get() == nullptr || !api_.server().alive(call)) return;
    if (why) return api_.refuse(call, api_.refusal(call, *why));
    const auto* machine = api_.machine();
    if (machine == nullptr || machine->auth() == nullptr) {
      return api_.refuse(call, ApiError::unhealthy);
    }
    (this->*look)(call, *machine->auth());
  });
}

// ---- New passwords.

void AuthService::on_user_add(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_user_add_request(message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (request->name.empty()) return api_.refuse(call, ApiError::user_empty);
  if (!request->no_password) return hash(call, AuthOperation::user_add, *request);
  std::string wire;
  machine::etcd::encode_user_add({request->name, {}, true, {}}, wire);
  propose(call, AuthOperation::user_add, wire);
}

void AuthService::on_change_password(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_user_change_password_request(message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  hash(call, AuthOperation::user_change_password, *request);
}

// Nobody makes us compute for what will be refused. It is judged again when it is applied.
bool AuthService::may_choose_password(CallId call, std::string_view password) {
  if (!api_.permit(call, Api::Rights::root)) return false;
  if (is_good_password(password)) return true;
  api_.refuse(call, ApiError::bad_password);
  return false;
}

void AuthService::hash(CallId call, AuthOperation operation, const UserRequest& request) {
  if (!may_choose_password(call, request.password)) return;
  Passwords::Work work;
  work.password = request.password;
  work.wanted = [this, call] { return api_.server().alive(call); };
  work.done = [this, call, operation,
               name = std::string(request.name)](const std::optional<std::string>& made) {
    if (!made) return api_.refuse(call, ApiError::bad_password);
    std::string wire;
    const UserRequest hashed{name, {}, false, *made};
    if (operation == AuthOperation::user_add) {
      machine::etcd::encode_user_add(hashed, wire);
    } else {
      machine::etcd::encode_user_change_password(hashed, wire);
    }
    propose(call, operation, wire);
  };
  if (!passwords_.add(std::string(request.name), std::move(work))) {
    api_.refuse(call, ApiError::too_many_requests);
  }
}

// ---- Tokens.

void AuthService::check_password(CallId call, const AuthBook& auth) {
  const auto request = machine::etcd::decode_authenticate_request(api_.server().message(call));
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (!auth.enabled()) return api_.refuse(call, ApiError::auth_not_enabled);
  const AuthUser* user = auth.find_user(request->name);
  if (user == nullptr) return api_.refuse(call, ApiError::auth_failed);
  if (user->no_password) return api_.refuse(call, ApiError::password_for_none);
  // An imported file may have it so. To compare with nothing would mean to make a new hash.
  if (user->hash.empty()) return api_.refuse(call, ApiError::auth_failed);
  Passwords::Work work;
  work.password = request->password;
  work.hash = user->hash;
  work.wanted = [this, call] { return api_.server().alive(call); };
  work.done = [this, call, revision = auth.revision()](const std::optional<std::string>& good) {
    if (!good) return api_.refuse(call, ApiError::auth_failed);
    give_token(call, revision);
  };
  if (!passwords_.add(std::string(request->name), std::move(work))) {
    api_.refuse(call, ApiError::too_many_requests);
  }
}

void AuthService::give_token(CallId call, uint64_t checked_revision) {
  if (!api_.server().alive(call)) return;
  auto request = machine::etcd::decode_authenticate_request(api_.server().message(call));
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (TokenSigner* signer = api_.options().auth.signer.get(); signer != nullptr) {
    const int64_t now = api_.executor().wall_nanoseconds() / 1'000'000'000;
    const auto token = signer->sign(request->name, checked_revision, now);
    if (!token) return api_.refuse(call, ApiError::cannot_sign);
    std::string body;
    write_text(2, *token, body);
    return api_.answer(call, api_.revision(), Bytes(body));
  }
  const std::string letters = random_letters();
  request->password = {};
  request->token_prefix = letters;
  request->checked_revision = checked_revision;
  std::string wire(1, static_cast<char>(AuthOperation::authenticate));
  encode(*request, wire);
  api_.server().set_tag(call, api_.service().round());
  api_.service().propose(machine::etcd::make_command(CommandKind::auth, wire), api_.deadline(call),
                         [this, tether = api_.tether(), call](const node::Outcome& outcome) {
                           if (tether.get() != nullptr) on_token(call, outcome);
                         });
}

void AuthService::on_token(CallId call, const node::Outcome& outcome) {
  if (!api_.server().alive(call)) return;
  const auto error = api_.failure(call, outcome);
  // Users or roles changed meanwhile: once more, as long as the client waits.
  if (error == ApiError::auth_old_revision) {
    return after_barrier(call, &AuthService::check_password);
  }
  if (error) return api_.refuse(call, *error);
  const machine::Reply& reply = std::get<node::Applied>(outcome).reply;
  api_.answer(call, reply.revision, reply.body);
}

// ---- Looks.

void AuthService::look_status(CallId call, const AuthBook& auth) {
  std::string body;
  write_flag(2, auth.enabled(), body);
  write_number(3, auth.revision(), body);
  api_.answer(call, api_.revision(), Bytes(body));
}

void AuthService::look_user(CallId call, const AuthBook& auth) {
  const auto request = machine::etcd::decode_named_request(api_.server().message(call));
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  const auto caller = api_.identify(call);
  if (!caller) return api_.refuse(call, caller.error());
  const auto code = auth.check_root(*caller);
  const bool own = !caller->user.empty() && caller->user == request->first;
  if (code != machine::etcd::Code::ok && !own) {
    return api_.refuse(call, *error_of_reply(static_cast<uint16_t>(code)));
  }
  const AuthUser* user = auth.find_user(request->first);
  if (user == nullptr) return api_.refuse(call, ApiError::user_not_found);
  std::string body;
  for (const std::string& role : user->roles) write_element(2, role, body);
  api_.answer(call, api_.revision(), Bytes(body));
}

void AuthService::look_users(CallId call, const AuthBook& auth) {
  if (!api_.permit(call, Api::Rights::root)) return;
  std::string body;
  for (const auto& [name, user] : auth.users()) write_element(2, name, body);
  api_.answer(call, api_.revision(), Bytes(body));
}

void AuthService::look_role(CallId call, const AuthBook& auth) {
  const auto request = machine::etcd::decode_named_request(api_.server().message(call));
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  const auto caller = api_.identify(call);
  if (!caller) return api_.refuse(call, caller.error());
  const auto code = auth.check_root(*caller);
  const bool own = !caller->user.empty() && auth.has_role(caller->user, request->first);
  if (code != machine::etcd::Code::ok && !own) {
    return api_.refuse(call, *error_of_reply(static_cast<uint16_t>(code)));
  }
  const AuthRole* role = auth.find_role(request->first);
  if (role == nullptr) return api_.refuse(call, ApiError::role_not_found);
  std::string body;
  const auto add = [&](const machine::etcd::Permission& permission) {
    std::string inner;
    encode(permission, inner);
    write_element(2, inner, body);
  };
  if (request->first == machine::etcd::kRootRole) {  // whatever it was granted
    add({machine::etcd::PermissionKind::read_write, {}, std::string_view("\0", 1)});
  } else {
    for (const auto& [range, kind] : role->permissions) add({kind, range.first, range.second});
  }
  api_.answer(call, api_.revision(), Bytes(body));
}

void AuthService::look_roles(CallId call, const AuthBook& auth) {
  if (!api_.permit(call, Api::Rights::root)) return;
  std::string body;
  for (const auto& [name, role] : auth.roles()) write_element(2, name, body);
  api_.answer(call, api_.revision(), Bytes(body));
}

}  // namespace quorate::front::etcd
