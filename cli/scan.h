/* Reads small text files of our own, piece by piece: "counter 7\nnonce abc\n".  The first piece
 * that is not as it should be stays a failure, and is asked for once, at the end. */
#ifndef EMK_CLI_SCAN_H
#define EMK_CLI_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct emk_cli_scan {
    const char *p; /* what is left; zero-terminated */
    bool bad;
} emk_cli_scan;

/* Exactly this text. */
void emk_cli_scan_word(emk_cli_scan *s, const char *word);
/* Decimal digits, within 64 bits; 0 on failure. */
uint64_t emk_cli_scan_number(emk_cli_scan *s);
/* One to cap - 1 printable characters without a space, up to what is none; "" on failure. */
void emk_cli_scan_text(emk_cli_scan *s, char *out, size_t cap);

#endif
