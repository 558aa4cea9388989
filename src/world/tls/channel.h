// world/tls/channel.h: one connection's TLS, between bytes in and bytes out.
#pragma once

#include <memory>
#include <string>

#include "world/secure.h"
#include "world/tls/materials.h"

namespace quorate::world {

std::unique_ptr<SecureChannel> make_accepting_channel(std::shared_ptr<const Materials> materials);
std::unique_ptr<SecureChannel> make_dialling_channel(std::shared_ptr<const Materials> materials,
                                                     const std::string& host);

}  // namespace quorate::world
