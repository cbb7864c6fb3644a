/* Google's status list of attestation certificates, as a file that the caller fetched:
 *
 *     {"entries": {"<serial>": {"status": "REVOKED", ...}, ...}}
 *
 * A serial that is in it at all is refused, whatever its status says: a status that is not
 * known must not be a way in.  Keys are hex without leading zeros, but many old ones are decimal:
 * both forms of a serial are looked up. */
#ifndef EMK_SERVER_ATTEST_REVOCATION_H
#define EMK_SERVER_ATTEST_REVOCATION_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_REVOCATION_FILE_MAX    ((size_t)32 << 20) /* bytes */
#define EMK_REVOCATION_ENTRIES_MAX 200000u

typedef struct emk_revocation emk_revocation;

/* Gives a list read from JSON; free with emk_revocation_free.  as_of_s: when it was fetched,
 * seconds since 1970.  Borrows json.  EMK_E_FORMAT (also for a serial that comes twice),
 * EMK_E_LIMIT or EMK_E_NO_MEMORY. */
emk_status emk_revocation_new(emk_span json, int64_t as_of_s, emk_revocation **out,
                              emk_error *e) EMK_MUST_CHECK;
int64_t emk_revocation_as_of(const emk_revocation *list);
size_t emk_revocation_count(const emk_revocation *list);

/* Whether a certificate with this serial (big-endian, at most 32 bytes; longer ones are never
 * listed, and count as revoked) is in the list. */
bool emk_revocation_has(const emk_revocation *list, emk_span serial);

/* NULL is fine. */
void emk_revocation_free(emk_revocation *list);

#endif
