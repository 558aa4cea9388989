// base/base64.h: bytes in JSON. Written with the standard alphabet and padding; read with
// either alphabet, with padding or without, as clients of such gateways send it.
#pragma once

#include <string>
#include <string_view>

namespace quorate {

void append_base64(std::string_view bytes, std::string& out);
// False: not base64; then `out` holds what was read so far.
bool decode_base64(std::string_view text, std::string& out);

}  // namespace quorate
