# `make package`: a Debian package of the release build. Its dependencies are read from the
# program itself (dpkg-shlibdeps).
include(GNUInstallDirs)
install(TARGETS quorate RUNTIME DESTINATION bin)
install(FILES packaging/quorate.service DESTINATION /usr/lib/systemd/system)
install(FILES packaging/quorate.default DESTINATION /etc/default RENAME quorate)
install(FILES LICENSE README.md DESTINATION share/doc/quorate)
foreach(shell bash zsh)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/completion.${shell}
    COMMAND quorate completion ${shell} > ${CMAKE_BINARY_DIR}/completion.${shell}
    DEPENDS quorate VERBATIM)
endforeach()
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/quorate.1.gz
  COMMAND gzip -9nc ${CMAKE_SOURCE_DIR}/packaging/quorate.1 > ${CMAKE_BINARY_DIR}/quorate.1.gz
  DEPENDS packaging/quorate.1 VERBATIM)
add_custom_target(package_files DEPENDS ${CMAKE_BINARY_DIR}/completion.bash
  ${CMAKE_BINARY_DIR}/completion.zsh ${CMAKE_BINARY_DIR}/quorate.1.gz)
install(FILES ${CMAKE_BINARY_DIR}/quorate.1.gz DESTINATION share/man/man1)
install(FILES ${CMAKE_BINARY_DIR}/completion.bash
  DESTINATION share/bash-completion/completions RENAME quorate)
install(FILES ${CMAKE_BINARY_DIR}/completion.zsh
  DESTINATION share/zsh/vendor-completions RENAME _quorate)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME quorate)
set(CPACK_PACKAGE_CONTACT "Quorate maintainers <quorate@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Consistent, replicated key-value store with the etcd v3 API")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS passwd)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${CMAKE_SOURCE_DIR}/packaging/postinst"
  "${CMAKE_BINARY_DIR}/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
file(WRITE ${CMAKE_BINARY_DIR}/conffiles "/etc/default/quorate\n")
include(CPack)
