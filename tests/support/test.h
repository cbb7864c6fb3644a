/* What every unit test includes: cmocka, and comparisons that speak Earmark's types.
 * The only place that includes <cmocka.h>.
 *
 *     static void rejects_header_with_wrong_magic(void **state) { ... }
 *     int main(void) { return EMK_RUN(emk_rule(rejects_header_with_wrong_magic)); }
 *
 * A test's name is a rule.  A program that cannot run here returns EMK_TEST_SKIP after
 * printing why. */
#ifndef EMK_TESTS_SUPPORT_TEST_H
#define EMK_TESTS_SUPPORT_TEST_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define EMK_TEST_SKIP 77

#define emk_rule(fn) cmocka_unit_test(fn)
#define EMK_RUN(...)                                                   \
    emk_run_rules_(__FILE__, (const struct CMUnitTest[]){__VA_ARGS__}, \
                   sizeof((const struct CMUnitTest[]){__VA_ARGS__}) / sizeof(struct CMUnitTest))

int emk_run_rules_(const char *file, const struct CMUnitTest *rules, size_t n);

/* Fails with the status's name and the error's text unless st is what was expected. */
void emk_assert_status_(emk_status got, emk_status want, const emk_error *e, const char *file,
                        int line);
#define assert_status(got, want, e) emk_assert_status_((got), (want), (e), __FILE__, __LINE__)
#define assert_ok(got, e)           emk_assert_status_((got), EMK_OK, (e), __FILE__, __LINE__)

/* Compares bytes and prints both as hex on a difference. */
void emk_assert_bytes_(emk_span got, emk_span want, const char *file, int line);
#define assert_bytes(got, want) emk_assert_bytes_((got), (want), __FILE__, __LINE__)

/* Decodes hex (spaces allowed) into out; returns the bytes.  Fails the test when malformed. */
size_t emk_unhex(const char *hex, uint8_t *out, size_t cap);

/* A fresh directory for this test, removed with all it holds by emk_test_dir_remove. */
char *emk_test_dir_make(void);
void emk_test_dir_remove(char *dir);

/* True when another processor is emulated (tools/cross): not all of Linux is there then. */
bool emk_test_is_emulated(void);

/* "../shared/<rel>" or $EMK_SHARED/<rel>; NULL, after saying so, when that is not there.
 * The caller frees. */
char *emk_test_shared(const char *rel);

#endif
