# SPDX-License-Identifier: GPL-3.0-or-later
# Options, the language standard and the flags every target of the project shares.
include(CheckLanguage)
include(CTest)

option(EXPERTSCOPE_GUI "Build the Qt window (expertscope) beside the command line" ON)
option(EXPERTSCOPE_BENCH "Build the benchmarks" ON)
option(EXPERTSCOPE_WERROR "Treat warnings as errors" OFF)
set(EXPERTSCOPE_SANITIZE "" CACHE STRING "Sanitizers, as given to -fsanitize= (empty: none)")
set(EXPERTSCOPE_CUDA "AUTO" CACHE STRING "CUDA backend: AUTO, ON (must be there) or OFF")
set_property(CACHE EXPERTSCOPE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(EXPERTSCOPE_CUDA_ARCHITECTURES "" CACHE STRING
  "GPUs the plugin is compiled for, as CMAKE_CUDA_ARCHITECTURES has them; empty: every one that the toolkit can serve")
# check_language would otherwise try the architecture that nvcc takes by default; every nvcc knows this one.
set(CMAKE_CUDA_ARCHITECTURES 80-real)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

# One interface target carries the flags, so that no target can forget them.
add_library(expertscope_flags INTERFACE)
target_include_directories(expertscope_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(expertscope_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor)
# g++ 12 warns about "text" + std::string at -O3, wrongly: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651
target_compile_options(expertscope_flags INTERFACE $<$<CONFIG:Release>:-Wno-restrict>)
target_compile_definitions(expertscope_flags INTERFACE EXPERTSCOPE_VERSION="${PROJECT_VERSION}")
if(EXPERTSCOPE_WERROR)
  # nvcc spells it otherwise: engine/cuda/CMakeLists.txt.
  target_compile_options(expertscope_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(EXPERTSCOPE_SANITIZE)
  # g++ 12 sees uninitialised members in std::variant and std::optional once code is instrumented.
  target_compile_options(expertscope_flags INTERFACE
    -fsanitize=${EXPERTSCOPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(expertscope_flags INTERFACE -fsanitize=${EXPERTSCOPE_SANITIZE})
endif()

include(Hardening)
if(NOT EXPERTSCOPE_SANITIZE)
  target_link_libraries(expertscope_flags INTERFACE $<$<CONFIG:Release>:expertscope_hardening>)
endif()

# EXPERTSCOPE_HAS_CUDA: the plugin is built. AUTO leaves it out where something is missing.
set(EXPERTSCOPE_HAS_CUDA OFF)
if(NOT EXPERTSCOPE_CUDA STREQUAL "OFF")
  check_language(CUDA)
  set(cuda_missing "no CUDA compiler was found")
  if(CMAKE_CUDA_COMPILER)
    find_package(CUDAToolkit QUIET)
    if(NOT TARGET CUDA::cublas)
      set(cuda_missing "no cuBLAS was found beside ${CMAKE_CUDA_COMPILER}")
    elseif(CUDAToolkit_VERSION VERSION_LESS 12.5)
      set(cuda_missing "CUDA ${CUDAToolkit_VERSION} is older than 12.5")
    else()
      set(EXPERTSCOPE_HAS_CUDA ON)
      include(CudaArchitectures)
      expertscope_cuda_architectures(CMAKE_CUDA_ARCHITECTURES)
    endif()
  endif()
  if(EXPERTSCOPE_HAS_CUDA)
    enable_language(CUDA)
    include(CudaModule)
    message(STATUS "CUDA backend: with CUDA ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(EXPERTSCOPE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "EXPERTSCOPE_CUDA=ON, and ${cuda_missing}")
  else()
    message(STATUS "CUDA backend: left out, ${cuda_missing}")
  endif()
endif()
