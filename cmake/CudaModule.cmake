# SPDX-License-Identifier: GPL-3.0-or-later
# CMake 3.25 does not know how CUDA spells C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")

# One RUNPATH, in the build tree as where it is installed: with two, CMake pads that of the build tree with colons to
# the length of the other, and an empty element is the working directory, from which nothing may be loaded.
set(EXPERTSCOPE_CUDA_RPATH "${CUDAToolkit_LIBRARY_DIR}" CACHE STRING
  "Where the plugin looks for cuBLAS before the folders of the system")

# How code for the device is compiled.
function(expertscope_cuda_code target)
  target_compile_options(${target} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>"
    "$<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${EXPERTSCOPE_WERROR}>>:-Werror=all-warnings;-Xcompiler=-Werror>")
  # fmt turns its own constexpr off under nvcc and then trips over it.
  target_compile_definitions(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>")
  set_target_properties(${target} PROPERTIES
    CUDA_STANDARD 20
    CUDA_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
endfunction()

# A module that a program opens when it runs: the backend and what `sources` add, with one symbol to be seen.
function(expertscope_cuda_module target)
  add_library(${target} MODULE ${ARGN})
  target_link_libraries(${target} PRIVATE expertscope_cuda_objects)
  expertscope_cuda_code(${target})
  set_target_properties(${target} PROPERTIES
    CUDA_RUNTIME_LIBRARY Static
    BUILD_WITH_INSTALL_RPATH ON
    INSTALL_RPATH "${EXPERTSCOPE_CUDA_RPATH}")
  # Symbols of the static CUDA runtime stay inside as well.
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
  expertscope_check_hardening(${target})
endfunction()
