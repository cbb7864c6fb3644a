/* The detectors of Apple's systems alone. */
#ifndef EMK_DEVICE_GUARD_DETECTORS_APPLE_H
#define EMK_DEVICE_GUARD_DETECTORS_APPLE_H

#include "device/guard/internal.h"

extern const emk_detector emk_detect_darwin_debugger;
extern const emk_detector emk_detect_darwin_jailbreak;
extern const emk_detector emk_detect_darwin_inserted;
extern const emk_detector emk_detect_darwin_stubs;

#endif
