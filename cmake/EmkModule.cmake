# emk_module(core/codec SOURCES a.c b.c USES core/base LIBS OpenSSL::Crypto)
# One static library per folder.  USES names the folders it may link; the same rows stand in
# layers.txt, and tools/check-layers compares every #include with them.
function(emk_target_name out dir)
  string(REPLACE "/" "_" name "${dir}")
  set(${out} "emk_${name}" PARENT_SCOPE)
endfunction()

# Folders that a build may do without, for want of their libraries: linked where they are there.
set(EMK_OPTIONAL_FOLDERS keystore/tpm2 keystore/pkcs11 server/yaml server/fraud)

# Links `target` to the folders in ARGN and notes on it whether libcrypto comes with them.
function(emk_use_folders target scope)
  foreach(used ${ARGN})
    emk_target_name(used_target ${used})
    if(NOT TARGET ${used_target} AND used IN_LIST EMK_OPTIONAL_FOLDERS)
      continue()
    endif()
    target_link_libraries(${target} ${scope} ${used_target})
    if(TARGET ${used_target})
      get_target_property(crypto ${used_target} EMK_CRYPTO)
      if(crypto)
        set_target_properties(${target} PROPERTIES EMK_CRYPTO ON)
      endif()
    endif()
  endforeach()
endfunction()

function(emk_module dir)
  cmake_parse_arguments(M "" "" "SOURCES;USES;LIBS" ${ARGN})
  emk_target_name(target ${dir})
  add_library(${target} STATIC ${M_SOURCES})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  emk_use_folders(${target} PUBLIC ${M_USES})
  target_link_libraries(${target} PUBLIC ${M_LIBS})
  if("OpenSSL::Crypto" IN_LIST M_LIBS)
    set_target_properties(${target} PROPERTIES EMK_CRYPTO ON)
  endif()
endfunction()

# emk_test(core_base_reader_test USES core/base SOURCES reader_test.c): a cmocka program, run by
# ctest.  Labels: unit by default; "threads" too where the test starts threads.
# With EMK_LIBCRYPTO_35 each test that uses libcrypto runs once more, as <name>@3.5.
function(emk_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;USES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  emk_use_folders(${name} PRIVATE ${T_USES})
  target_link_libraries(${name} PRIVATE emk_test_support ${T_LIBS})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 300)
  endif()
  if(CMAKE_CROSSCOMPILING) # under an emulator
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 4")
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT}
                       SKIP_RETURN_CODE 77)

  get_target_property(crypto ${name} EMK_CRYPTO)
  if(EMK_LIBCRYPTO_35 AND crypto)
    add_test(NAME ${name}@3.5
             COMMAND ${PROJECT_SOURCE_DIR}/tools/with-libcrypto-3.5 $<TARGET_FILE:${name}>)
    set_tests_properties(${name}@3.5 PROPERTIES LABELS libcrypto-3.5 TIMEOUT ${T_TIMEOUT}
                         SKIP_RETURN_CODE 77)
  endif()
endfunction()

# emk_fuzzer(cbor_fuzz USES core/codec SEEDS corpus/cbor): with EMK_FUZZ a libFuzzer program,
# without it a program that replays its seeds, run by ctest.  `make fuzz` finds the fuzzers
# and their seeds in <build>/fuzzers.txt.
function(emk_fuzzer name)
  cmake_parse_arguments(F "" "SEEDS" "SOURCES;USES" ${ARGN})
  set(seeds ${CMAKE_CURRENT_SOURCE_DIR}/${F_SEEDS})
  if(EMK_FUZZ)
    set(target ${name})
    add_executable(${target} ${F_SOURCES})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    set_property(GLOBAL APPEND_STRING PROPERTY EMK_FUZZERS "${name} ${seeds}\n")
    if(NOT TARGET fuzzers)
      add_custom_target(fuzzers)
    endif()
    add_dependencies(fuzzers ${target})
  else()
    set(target ${name}_replay)
    add_executable(${target} ${F_SOURCES} ${PROJECT_SOURCE_DIR}/fuzz/replay_main.c)
    add_test(NAME ${target} COMMAND ${target} ${seeds})
    set_tests_properties(${target} PROPERTIES LABELS fuzz TIMEOUT 300)
  endif()
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  emk_use_folders(${target} PRIVATE ${F_USES})
endfunction()

function(emk_write_fuzzer_list)
  get_property(list GLOBAL PROPERTY EMK_FUZZERS)
  file(WRITE ${PROJECT_BINARY_DIR}/fuzzers.txt "${list}")
endfunction()
