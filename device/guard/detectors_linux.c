/* What a guard looks with on Linux, Android included.  The first two are those that guard.c
 * looks with most: who traces, and who reads memory. */
#include "device/guard/internal.h"

const emk_detector *const emk_detectors[] = {
    &emk_detect_tracer, &emk_detect_memory, &emk_detect_stepping, &emk_detect_preload,
    &emk_detect_calls,  &emk_detect_code,   &emk_detect_clock,    &emk_detect_package,
    &emk_detect_screen, &emk_detect_root,   &emk_detect_threads,  &emk_detect_pipes,
    &emk_detect_maps,   &emk_detect_port,   &emk_detect_emulator,
};
const size_t emk_n_detectors = sizeof emk_detectors / sizeof emk_detectors[0];

const char *const emk_system_calls[] = {"libc.so", "libc-2.", "libc.musl",  "ld-linux",
                                        "ld-musl", "ld-2.",   "libpthread", "libdl.so",
                                        "libdl-",  "linker",  NULL};
const char *const emk_system_code[] = {"libc.so", "libc-2.", "libc.musl", "ld-linux",
                                       "ld-musl", "ld-2.",   "linker",    NULL};
