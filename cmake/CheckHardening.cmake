# SPDX-License-Identifier: GPL-3.0-or-later
# cmake -DREADELF=readelf -DFILE=PROGRAM [-DFORTIFIED=ON] -P CheckHardening.cmake: fails unless a program or library has
# what Hardening.cmake asks for. FORTIFIED: it calls something whose checked form must be in it.
execute_process(COMMAND "${READELF}" --wide --file-header --program-headers --dynamic --dyn-syms "${FILE}"
  OUTPUT_VARIABLE elf RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${FILE}: cannot be read by ${READELF}")
endif()

set(missing "")
macro(require name)
  if(NOT elf MATCHES "${ARGN}")
    list(APPEND missing "${name}")
  endif()
endmacro()
require("position-independent code" "Type: +DYN")
require("RELRO" "GNU_RELRO")
require("immediate binding" "\\(FLAGS(_1)?\\)[^\n]*NOW")
require("a stack without code" "GNU_STACK[^\n]* RW +0x")
require("stack protector" "__stack_chk_fail")
if(FORTIFIED)
  require("_FORTIFY_SOURCE" "__[a-z]+_chk[@\n]")
endif()
if(missing)
  string(REPLACE ";" ", " missing "${missing}")
  message(FATAL_ERROR "${FILE}: built without ${missing}; see cmake/Hardening.cmake")
endif()
