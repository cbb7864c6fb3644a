/* DER, strictly [X.690 10, 11]: one value has one encoding.
 *
 * Definite lengths in the fewest bytes, tags in the fewest bytes, integers without a byte too
 * many, BOOLEAN 00 or FF, unused bits zero.  BER is refused.  Values are lent and point into
 * the input; no heap, no recursion: what is inside a value is read by a second reader over it.
 *
 * The reader keeps its first failure; after that each call gives zeros.  A parser reads like
 * its schema and checks once:
 *
 *     emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
 *     version = emk_der_read_uint(&in);
 *     name    = emk_der_read(&in, EMK_DER_UTF8);
 *     emk_der_leave(&d, &in);
 *     st = emk_der_finish(&d, e);
 *
 * Values passed over by emk_der_read and emk_der_read_raw are checked as far as their own tag
 * and length: what nobody looks at proves nothing. */
#ifndef EMK_CORE_CODEC_DER_H
#define EMK_CORE_CODEC_DER_H

#include "core/base/reader.h"
#include "core/base/status.h"

/* A tag as one number: class and constructed bit on top, the tag's number below.  Number 0 of
 * the universal class is reserved by X.690, so 0 is no tag. */
#define EMK_DER_TAG(top, number) ((uint32_t)(top) << 24 | (uint32_t)(number))
#define EMK_DER_BOOLEAN          EMK_DER_TAG(0x00, 1)
#define EMK_DER_INTEGER          EMK_DER_TAG(0x00, 2)
#define EMK_DER_BITS             EMK_DER_TAG(0x00, 3)
#define EMK_DER_OCTETS           EMK_DER_TAG(0x00, 4)
#define EMK_DER_NULL             EMK_DER_TAG(0x00, 5)
#define EMK_DER_OID              EMK_DER_TAG(0x00, 6)
#define EMK_DER_ENUMERATED       EMK_DER_TAG(0x00, 10)
#define EMK_DER_UTF8             EMK_DER_TAG(0x00, 12)
#define EMK_DER_IA5              EMK_DER_TAG(0x00, 22)
#define EMK_DER_UTC_TIME         EMK_DER_TAG(0x00, 23)
#define EMK_DER_GENERALIZED_TIME EMK_DER_TAG(0x00, 24)
#define EMK_DER_SEQUENCE         EMK_DER_TAG(0x20, 16)
#define EMK_DER_SET              EMK_DER_TAG(0x20, 17)
/* [n] around a value (EXPLICIT, or IMPLICIT of something constructed); [n] of a primitive. */
#define EMK_DER_CONTEXT(n)           EMK_DER_TAG(0xa0, n)
#define EMK_DER_CONTEXT_PRIMITIVE(n) EMK_DER_TAG(0x80, n)

#define EMK_DER_NUMBER_MAX ((1u << 21) - 1) /* greatest tag number: three bytes */

typedef struct emk_der {
    emk_reader in;
    size_t base;       /* where `in` begins in the outermost input, for messages */
    emk_status status; /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
} emk_der;

/* A reader at the first byte of `in`, which it keeps. */
void emk_der_init(emk_der *d, emk_span in);

/* The tag that comes next; 0 at the end, after a failure and before a malformed tag (the next
 * read tells).  Changes nothing. */
uint32_t emk_der_peek(const emk_der *d);

/* The contents of the next value, which must have this tag; lent.  EMK_E_FORMAT (where = offset)
 * for another tag, a malformed tag or length, or a value that is cut short; EMK_E_LIMIT for a
 * tag number beyond EMK_DER_NUMBER_MAX. */
emk_span emk_der_read(emk_der *d, uint32_t tag);
/* The next value whatever it is, tag and length included; lent. */
emk_span emk_der_read_raw(emk_der *d);

/* Reads a value with this tag and sets up `inner` over its contents; the caller reads them and
 * calls emk_der_leave, which fails d with the first failure of inner, or with EMK_E_FORMAT when
 * inner was not read to its end. */
void emk_der_enter(emk_der *d, uint32_t tag, emk_der *inner);
void emk_der_leave(emk_der *d, const emk_der *inner);

/* One value of the kind named, checked; as emk_der_read for refusals. */
bool emk_der_read_bool(emk_der *d);
void emk_der_read_null(emk_der *d);
/* INTEGER of 0..2^64-1: EMK_E_FORMAT when negative, EMK_E_LIMIT when larger. */
uint64_t emk_der_read_uint(emk_der *d);
/* ENUMERATED, the same. */
uint64_t emk_der_read_enum(emk_der *d);
/* INTEGER of any size and sign, two's complement, in its shortest form; lent. */
emk_span emk_der_read_integer(emk_der *d);
/* The contents of an OBJECT IDENTIFIER whose arcs are shortest; lent.  Compare bytes. */
emk_span emk_der_read_oid(emk_der *d);
/* BIT STRING: its bytes, lent, and how many bits at the end are unused (they are 0). */
emk_span emk_der_read_bits(emk_der *d, uint8_t *unused);
/* UTCTime (1950..2049) or GeneralizedTime, both to the second and in Z, as seconds since 1970
 * (negative before).  [RFC 5280 4.1.2.5] */
int64_t emk_der_read_time(emk_der *d);

/* The parser's own refusal.  The first failure is the one that stays. */
void emk_der_fail(emk_der *d, emk_status st, const char *what);
bool emk_der_ok(const emk_der *d);
/* Whether nothing failed and something is left. */
bool emk_der_more(const emk_der *d);

/* EMK_OK when nothing failed and every byte was read; else the first failure. */
emk_status emk_der_finish(emk_der *d, emk_error *e) EMK_MUST_CHECK;

#endif
