# What users link: the folders' static libraries made into one static and one shared library.
# Both export the functions declared in include/earmark and nothing else.

include(${CMAKE_CURRENT_LIST_DIR}/Exports.cmake)

# Failure injection and sanitizers must never reach a library somebody installs.
set(EMK_ARTEFACTS ON)
if(EMK_FAULTS OR EMK_SANITIZE OR EMK_FUZZ)
  set(EMK_ARTEFACTS OFF)
endif()

# emk_artefact(earmark DESCRIPTION "…" FOLDERS core/base …): libearmark.a and libearmark.so.
# Nothing is made until all its folders are there.
function(emk_artefact name)
  cmake_parse_arguments(A "" "DESCRIPTION" "FOLDERS" ${ARGN})
  if(NOT EMK_ARTEFACTS)
    return()
  endif()
  foreach(folder ${A_FOLDERS})
    emk_target_name(module ${folder})
    if(NOT TARGET ${module})
      message(STATUS "lib${name}: left out, ${folder} is not here")
      return()
    endif()
    list(APPEND modules ${module})
    list(APPEND archives $<TARGET_FILE:${module}>)
  endforeach()
  emk_artefact_shared(${name} ${modules})
  emk_artefact_static(${name} "${archives}" ${modules})
  emk_artefact_pkg_config(${name} "${A_DESCRIPTION}")
endfunction()

function(emk_artefact_shared name)
  set(target lib${name}_shared)
  file(WRITE ${PROJECT_BINARY_DIR}/lib${name}.c "typedef int emk_no_source_of_its_own;\n")
  add_library(${target} SHARED ${PROJECT_BINARY_DIR}/lib${name}.c)
  target_link_libraries(${target} PRIVATE -Wl,--whole-archive ${ARGN} -Wl,--no-whole-archive
                        OpenSSL::Crypto Threads::Threads ${CMAKE_DL_LIBS})
  target_link_options(${target} PRIVATE -Wl,--no-undefined
                      -Wl,--version-script=${PROJECT_BINARY_DIR}/exports.map)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
    LINK_DEPENDS ${PROJECT_BINARY_DIR}/exports.map)
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

# One relocatable object in which every other symbol is local, so that our helpers' names
# cannot meet those of the program it is linked into.
function(emk_artefact_static name archives)
  set(object ${PROJECT_BINARY_DIR}/lib${name}.o)
  set(library ${PROJECT_BINARY_DIR}/lib/lib${name}.a)
  add_custom_command(
    OUTPUT ${library}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/lib
    COMMAND ${CMAKE_LINKER} -r -o ${object} --whole-archive ${archives}
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${PROJECT_BINARY_DIR}/exports.txt ${object}
    COMMAND ${CMAKE_COMMAND} -E rm -f ${library}
    COMMAND ${CMAKE_AR} rcs ${library} ${object}
    DEPENDS ${ARGN} ${PROJECT_BINARY_DIR}/exports.txt
    COMMENT "Linking lib/lib${name}.a"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_target(lib${name}_static ALL DEPENDS ${library})
  install(FILES ${library} DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

function(emk_artefact_pkg_config name description)
  set(EMK_PC_NAME ${name})
  set(EMK_PC_DESCRIPTION ${description})
  # Found from where the file lies, so that an installed tree can be moved.
  file(RELATIVE_PATH EMK_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" EMK_PC_UP ${EMK_PC_UP})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/earmark.pc.in ${PROJECT_BINARY_DIR}/lib/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/lib/${name}.pc
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# Headers, the program and the texts.  The libraries were installed by emk_artefact, manual
# pages and completions by the folder that makes them.
function(emk_install)
  if(NOT EMK_ARTEFACTS)
    return()
  endif()
  install(DIRECTORY include/earmark DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
          FILES_MATCHING PATTERN "*.h")
  if(TARGET earmark)
    install(TARGETS earmark RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
  install(FILES LICENSE README.md SECURITY.md CHANGES.md docs/api-conventions.md
          DESTINATION ${CMAKE_INSTALL_DOCDIR})
endfunction()
