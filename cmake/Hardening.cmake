# SPDX-License-Identifier: GPL-3.0-or-later
# What a release is built with because everything that it opens may come from anybody: checks of the sizes of C
# functions, guarded stacks, tables of the linker that cannot be written, addresses that cannot be known before, no
# code in data.
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

add_library(expertscope_hardening INTERFACE)
# With _FORTIFY_SOURCE, glibc's headers warn about results that development builds, which have no such warning, ignore.
target_compile_options(expertscope_hardening INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fstack-protector-strong;-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2;-Wno-unused-result>)
target_link_options(expertscope_hardening INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)

set(expertscope_hardening_check "${CMAKE_COMMAND}" "-DREADELF=${CMAKE_READELF}")
set(expertscope_hardening_script "${CMAKE_CURRENT_LIST_DIR}/CheckHardening.cmake")

# Of a release, the file itself is asked each time it is linked.
function(expertscope_check_hardening target)
  if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT EXPERTSCOPE_SANITIZE AND CMAKE_READELF)
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM
      COMMAND ${expertscope_hardening_check} "-DFILE=$<TARGET_FILE:${target}>" -P "${expertscope_hardening_script}")
  endif()
endfunction()
