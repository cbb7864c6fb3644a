/* Making errors.  The types are public: <earmark/status.h>. */
#ifndef EMK_CORE_BASE_STATUS_H
#define EMK_CORE_BASE_STATUS_H

#include <earmark/status.h>
#include <errno.h>

/* Fills *e (unless NULL) and returns st, so that a refusal is one line:
 *     return emk_fail(e, EMK_E_FORMAT, "header: wrong magic", 0);
 * `what` must be a string literal. */
emk_status emk_fail(emk_error *e, emk_status st, const char *what, uint64_t where);

/* The same for a failed system call: EMK_E_IO with errno, or EMK_E_NO_MEMORY for ENOMEM
 * and EMK_E_NOT_FOUND for ENOENT. */
emk_status emk_fail_errno(emk_error *e, const char *what);

#endif
