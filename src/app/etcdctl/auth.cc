// auth, user and role: the Auth service from the command line.
#include <iostream>

#include "app/etcdctl/commands.h"
#include "app/etcdctl/go_text.h"
#include "app/etcdctl/shapes.h"
#include "app/etcdctl/show.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "app/password.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::app::etcdctl {
namespace {

std::string auth_path(std::string_view method) {
  return "/etcdserverpb.Auth/" + std::string(method);
}

std::string named(uint32_t first, const std::string& one, uint32_t second = 0,
                  const std::string& two = {}) {
  std::string request;
  protobuf::write_bytes(first, one, request);
  if (second != 0) protobuf::write_bytes(second, two, request);
  return request;
}

// A change of which a line says all.
int change(const Common& common, std::string_view method, const std::string& request,
           const std::string& line) {
  if (!check_format(common, Extra::protobuf)) return kExitUsage;
  const Response response = Session(common).write(auth_path(method), request);
  if (response.verdict != Verdict::done) return report(response, true);
  return show_done(common, response.body, line);
}

std::optional<Message> look(const Common& common, std::string_view method,
                            const std::string& request, const Shape& shape, int& code) {
  const Response response = Session(common).read(auth_path(method), request);
  if (response.verdict != Verdict::done) {
    code = report(response, false);
    return std::nullopt;
  }
  auto decoded = Message::decode(shape, response.body);
  if (!decoded) code = undecodable();
  return decoded;
}

const std::string kOpenEnd(1, '\0');

std::string range_text(const std::string& key, const std::string& end) {
  if (end.empty()) return key;
  if (end == kOpenEnd) return "[" + key + ", <open ended>";
  std::string text = "[" + key + ", " + end + ")";
  if (key_range(key, "", true, false).end == end) text += " (prefix " + key + ")";
  return text;
}

void print_role(const std::string& role, const Message& found) {
  enum : uint64_t { read_only = 0, write_only = 1 };
  std::cout << "Role " << role << "\nKV Read:\n";
  for (const Message& each : found.messages("perm")) {
    if (each.number("permType") == write_only) continue;
    std::cout << "\t" << range_text(each.text("key"), each.text("range_end")) << '\n';
  }
  std::cout << "KV Write:\n";
  for (const Message& each : found.messages("perm")) {
    if (each.number("permType") == read_only) continue;
    std::cout << "\t" << range_text(each.text("key"), each.text("range_end")) << '\n';
  }
}

int show_role(const Common& common, const std::string& role) {
  int code = kExitOk;
  const auto found = look(common, "RoleGet", named(1, role), kRoleGetShape, code);
  if (!found) return code;
  const Format format = format_of(common);
  if (format == Format::json) {
    std::cout << found->json() << '\n';
  } else if (format == Format::simple) {
    print_role(role, *found);
  } else {
    static constexpr const char* names[] = {"READ", "WRITE", "READWRITE"};
    print_header_fields(*found);
    for (const Message& each : found->messages("perm")) {
      const uint64_t type = each.number("permType");
      std::cout << "\"PermType\" :  " << (type < 3 ? names[type] : "?")
                << "\n\"Key\" : " << quoted(each.text("key"))
                << "\n\"RangeEnd\" : " << quoted(each.text("range_end")) << '\n';
    }
  }
  return kExitOk;
}

bool refuse_fields(const Common& common) {
  if (!check_format(common, Extra::none)) return true;
  if (format_of(common) != Format::fields) return false;
  complain("fields is not supported as output format of this command; use simple or json");
  return true;
}

int list(const Common& common, std::string_view method, const Shape& shape,
         std::string_view field) {
  int code = kExitOk;
  const auto found = look(common, method, "", shape, code);
  if (!found) return code;
  const Format format = format_of(common);
  if (format == Format::json) {
    std::cout << found->json() << '\n';
    return kExitOk;
  }
  if (format == Format::fields) {
    print_header_fields(*found);
    std::cout << "\"Roles\" :";
    for (const std::string& name : found->texts(field)) std::cout << " " << quoted(name);
    std::cout << '\n';
    return kExitOk;
  }
  for (const std::string& name : found->texts(field)) std::cout << name << '\n';
  return kExitOk;
}

// A password twice from a terminal, once from a pipe.
std::optional<std::string> new_password(const AuthOptions& options) {
  if (!options.interactive) return read_password("");
  const std::string first = read_password("Password of " + options.user + ": ");
  const std::string second =
      read_password("Type password of " + options.user + " again for confirmation: ");
  if (first == second) return first;
  complain("the two passwords differ; nothing was changed");
  return std::nullopt;
}

KeyRange permission_range(const AuthOptions& options) {
  return key_range(options.key, options.end, options.prefix, options.from_key);
}

}  // namespace

int run_auth_enable(const Common& common, const AuthOptions&) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  Session session(common);
  Response response = session.write(auth_path("AuthEnable"), "");
  if (response.text.ends_with("root user does not have root role")) {
    // The role and who has it go with switching on; etcdctl does the same.
    session.write(auth_path("RoleAdd"), named(1, "root"));
    const Response granted = session.write(auth_path("UserGrantRole"), named(1, "root", 2, "root"));
    if (granted.verdict != Verdict::done) return report(granted, true);
    response = session.write(auth_path("AuthEnable"), "");
  }
  if (response.verdict != Verdict::done) return report(response, true);
  return show_done(common, response.body, "Authentication Enabled");
}

int run_auth_disable(const Common& common, const AuthOptions&) {
  return change(common, "AuthDisable", "", "Authentication Disabled");
}

int run_auth_status(const Common& common, const AuthOptions&) {
  if (refuse_fields(common)) return kExitUsage;
  int code = kExitOk;
  const auto found = look(common, "AuthStatus", "", kAuthStatusShape, code);
  if (!found) return code;
  if (format_of(common) == Format::json) {
    std::cout << found->json() << '\n';
  } else {
    std::cout << "Authentication Status: " << (found->flag("enabled") ? "true" : "false")
              << "\nAuthRevision: " << found->number("authRevision") << '\n';
  }
  return kExitOk;
}

int run_user_add(const Common& common, const AuthOptions& given) {
  AuthOptions options = given;
  std::string request;
  if (options.no_password) {
    std::string more;
    protobuf::write_number(1, 1, more);
    protobuf::write_bytes(1, options.user, request);
    protobuf::write_present(3, more, request);
  } else {
    const size_t colon = options.user.find(':');
    if (!options.password_given && colon != std::string::npos) {
      options.password = options.user.substr(colon + 1);
      options.user.resize(colon);
    } else if (!options.password_given) {
      const auto password = new_password(options);
      if (!password) return kExitUsage;
      options.password = *password;
    }
    request = named(1, options.user, 2, options.password);
  }
  return change(common, "UserAdd", request, "User " + options.user + " created");
}

int run_user_delete(const Common& common, const AuthOptions& options) {
  return change(common, "UserDelete", named(1, options.user), "User " + options.user + " deleted");
}

int run_user_get(const Common& common, const AuthOptions& options) {
  if (!options.detail && refuse_fields(common)) return kExitUsage;
  if (!check_format(common, Extra::none)) return kExitUsage;
  int code = kExitOk;
  const auto found = look(common, "UserGet", named(1, options.user), kUserGetShape, code);
  if (!found) return code;
  if (options.detail) {
    std::cout << "User: " << options.user << '\n';
    for (const std::string& role : found->texts("roles")) {
      std::cout << '\n';
      code = show_role(common, role);
      if (code != kExitOk) return code;
    }
    return kExitOk;
  }
  if (format_of(common) == Format::json) {
    std::cout << found->json() << '\n';
    return kExitOk;
  }
  std::cout << "User: " << options.user << "\nRoles:";
  for (const std::string& role : found->texts("roles")) std::cout << " " << role;
  std::cout << '\n';
  return kExitOk;
}

int run_user_list(const Common& common, const AuthOptions&) {
  if (refuse_fields(common)) return kExitUsage;
  return list(common, "UserList", kUserListShape, "users");
}

int run_user_password(const Common& common, const AuthOptions& options) {
  const auto password = new_password(options);
  if (!password) return kExitUsage;
  return change(common, "UserChangePassword", named(1, options.user, 2, *password),
                "Password updated");
}

int run_user_grant(const Common& common, const AuthOptions& options) {
  return change(common, "UserGrantRole", named(1, options.user, 2, options.role),
                "Role " + options.role + " is granted to user " + options.user);
}

int run_user_revoke(const Common& common, const AuthOptions& options) {
  return change(common, "UserRevokeRole", named(1, options.user, 2, options.role),
                "Role " + options.role + " is revoked from user " + options.user);
}

int run_role_add(const Common& common, const AuthOptions& options) {
  return change(common, "RoleAdd", named(1, options.role), "Role " + options.role + " created");
}

int run_role_delete(const Common& common, const AuthOptions& options) {
  return change(common, "RoleDelete", named(1, options.role), "Role " + options.role + " deleted");
}

int run_role_get(const Common& common, const AuthOptions& options) {
  return check_format(common, Extra::none) ? show_role(common, options.role) : kExitUsage;
}

int run_role_list(const Common& common, const AuthOptions&) {
  if (!check_format(common, Extra::none)) return kExitUsage;
  return list(common, "RoleList", kRoleListShape, "roles");
}

int run_role_grant(const Common& common, const AuthOptions& options) {
  static constexpr std::string_view names[] = {"read", "write", "readwrite"};
  int64_t type = 0;
  while (type < 3 && names[type] != options.permission) ++type;
  if (type == 3) {
    complain("\"" + options.permission + "\" is no permission: it is read, write or readwrite");
    return kExitUsage;
  }
  const KeyRange range = permission_range(options);
  std::string permission;
  protobuf::write_number(1, type, permission);
  protobuf::write_bytes(2, range.key, permission);
  protobuf::write_bytes(3, range.end, permission);
  std::string request = named(1, options.role);
  protobuf::write_present(2, permission, request);
  return change(common, "RoleGrantPermission", request, "Role " + options.role + " updated");
}

int run_role_revoke(const Common& common, const AuthOptions& options) {
  const KeyRange range = permission_range(options);
  std::string request = named(1, options.role, 2, range.key);
  protobuf::write_bytes(3, range.end, request);
  std::string what = "key " + range.key;
  if (range.end == kOpenEnd) {
    what = "range [" + (options.key.empty() ? std::string() : range.key) + ", <open ended>";
  } else if (!range.end.empty()) {
    what = "range [" + range.key + ", " + range.end + ")";
  }
  return change(common, "RoleRevokePermission", request,
                "Permission of " + what + " is revoked from role " + options.role);
}

}  // namespace quorate::app::etcdctl
