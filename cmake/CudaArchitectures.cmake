# SPDX-License-Identifier: GPL-3.0-or-later
# expertscope_cuda_architectures(VARIABLE) sets what the plugin is compiled for, given CUDAToolkit_VERSION.
# A GPU runs machine code of its own major version, and translates PTX of any older architecture. 90 stands for
# both, so that 10.x and 11.x (B200, B300, Thor), for which there is no machine code, translate its PTX; 12.x
# translates PTX of its own, where nvcc knows it.
function(expertscope_cuda_architectures variable)
  set(architectures "${EXPERTSCOPE_CUDA_ARCHITECTURES}")
  if(NOT architectures)
    set(architectures 80-real 90)
    if(CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.8)
      list(APPEND architectures 120-virtual)
    endif()
  endif()
  set(${variable} "${architectures}" PARENT_SCOPE)
endfunction()
