/* Failure injection for tests: the n-th allocation, libcrypto call or system call fails,
 * or the process is killed there.  In release builds (EMK_FAULTS off) this is nothing.
 *
 * State: one counter and one target per kind, process-wide and atomic, set only by tests. */
#ifndef EMK_CORE_BASE_FAULT_H
#define EMK_CORE_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum emk_fault_kind {
    EMK_FAULT_ALLOC,  /* heap and mapping */
    EMK_FAULT_CRYPTO, /* a libcrypto call */
    EMK_FAULT_IO,     /* a system call that reads or writes a file, its name or its metadata */
    EMK_FAULT_KINDS
} emk_fault_kind;

#ifdef EMK_FAULTS
/* Counts this call; true when it must fail.  May not return: see emk_fault_kill_at. */
bool emk_fault_hit(emk_fault_kind kind);
/* From now on call number n (1 = the next) of `kind` fails once; 0: none.  Resets the count. */
void emk_fault_fail_at(emk_fault_kind kind, uint64_t n);
/* From now on the process gets SIGKILL at call number n of `kind`, before the call. */
void emk_fault_kill_at(emk_fault_kind kind, uint64_t n);
/* Calls counted since the last emk_fault_fail_at or emk_fault_kill_at of `kind`. */
uint64_t emk_fault_count(emk_fault_kind kind);
#else
static inline bool emk_fault_hit(emk_fault_kind kind)
{
    (void)kind;
    return false;
}
#endif

#endif
