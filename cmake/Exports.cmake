# Reads the names of all functions declared in include/earmark and writes them to
#   exports.txt   one name a line, for objcopy and for tools/check-artefacts
#   exports.map   a linker version script
# so that a public header is the only place where "public" is said.  A function is a name that
# is directly followed by a parenthesis; clang-format keeps it so, and puts a space elsewhere.

file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/earmark/*.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
set(names "")
foreach(header ${headers})
  file(READ ${header} text)
  string(REGEX REPLACE "/\\*([^*]|\\*+[^*/])*\\*+/" "" text "${text}")
  string(REGEX REPLACE "#[ ]*define[^\n]*" "" text "${text}")
  string(REGEX REPLACE "static inline [^}]*}" "" text "${text}")
  string(REGEX MATCHALL "emk_[a-z0-9_]+\\(" found "${text}")
  list(APPEND names ${found})
endforeach()
list(TRANSFORM names REPLACE "\\($" "")
list(REMOVE_DUPLICATES names)
list(SORT names)

list(JOIN names "\n" lines)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/exports.txt CONTENT "${lines}\n" @ONLY)
list(JOIN names ";\n    " lines)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/exports.map CONTENT
"EARMARK_${PROJECT_VERSION_MAJOR} {
  global:
    ${lines};
  local:
    *;
};
" @ONLY)
