// app/version.h: the two versions: our own, and that of the etcd API we speak.
#pragma once

namespace quorate::app {

inline constexpr char kQuorateVersion[] = QUORATE_VERSION;  // from CMakeLists.txt
// Plain digits: clients compare the parts as numbers (docs: at least 3.5.13 for Kubernetes).
inline constexpr char kEmulatedEtcdVersion[] = "3.7.1";

}  // namespace quorate::app
