/* What a guard looks with on iOS and macOS; the first two as guard.c wants them. */
#include "device/guard/detectors_apple.h"

const emk_detector *const emk_detectors[] = {
    &emk_detect_darwin_debugger,
    &emk_detect_memory,
    &emk_detect_stepping,
    &emk_detect_darwin_inserted,
    &emk_detect_calls,
    &emk_detect_code,
    &emk_detect_darwin_stubs,
    &emk_detect_clock,
    &emk_detect_package,
    &emk_detect_screen,
    &emk_detect_darwin_jailbreak,
    &emk_detect_images,
};
const size_t emk_n_detectors = sizeof emk_detectors / sizeof emk_detectors[0];

const char *const emk_system_calls[] = {"libsystem_", "libSystem", "libdyld", "dyld",
                                        "libc++",     "libobjc",   NULL};
/* They are in no files of their own: detect_stubs_apple.c looks at them. */
const char *const emk_system_code[] = {NULL};
