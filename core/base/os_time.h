/* The clock. */
#ifndef EMK_CORE_BASE_OS_TIME_H
#define EMK_CORE_BASE_OS_TIME_H

#include <stdint.h>

/* Seconds since 1970-01-01 UTC, by the system's clock, which its owner may set. */
uint64_t emk_os_now_s(void);
/* The same in milliseconds. */
uint64_t emk_os_now_ms(void);
/* Nanoseconds that only go forward; for measuring. */
uint64_t emk_os_monotonic_ns(void);

#endif
