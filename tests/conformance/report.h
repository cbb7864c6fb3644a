/* Counts and prints what the tests of the vector files come to: as text, or as one JSON
 * document.  Whatever comes out of a vector file is printed as plain ASCII. */
#ifndef EMK_TESTS_CONFORMANCE_REPORT_H
#define EMK_TESTS_CONFORMANCE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EMK_REPORT_TEXT_MAX    256u /* characters of an id, a reason, a difference */
#define EMK_REPORT_REASONS_MAX 64u  /* different reasons for skips in one file */

typedef enum emk_outcome { EMK_PASSED, EMK_FAILED, EMK_SKIPPED, EMK_OUTCOMES } emk_outcome;

typedef struct emk_report_reason {
    char text[EMK_REPORT_TEXT_MAX];
    uint64_t n;
} emk_report_reason;

typedef struct emk_report {
    bool json;
    bool verbose;
    uint64_t total[EMK_OUTCOMES];
    uint64_t here[EMK_OUTCOMES]; /* of the file being run */
    size_t n_files;
    size_t n_malformed; /* files not recognised or malformed */
    size_t n_listed;    /* tests printed for this file */
    size_t n_reasons;
    emk_report_reason reasons[EMK_REPORT_REASONS_MAX];
    char malformed[EMK_REPORT_TEXT_MAX]; /* why this file is; empty: it is not */
} emk_report;

/* Prints what comes before the first file. */
void emk_report_begin(emk_report *r);
/* The last line: "N passed, N failed, N skipped". */
void emk_report_end(const emk_report *r);
/* 1 when a test failed, else 2 when a file was not recognised or malformed, else 0. */
int emk_report_exit_code(const emk_report *r);

/* What follows is about one file.  `format` is what it was recognised as. */
void emk_report_begin_file(emk_report *r, const char *path, const char *format);
/* This file is not (all of) what it should be; the first reason stays. */
void emk_report_malformed(emk_report *r, const char *why);
/* One test.  `detail` is the difference, or the reason why it was skipped. */
void emk_report_test(emk_report *r, const char *id, emk_outcome outcome, const char *detail);
void emk_report_end_file(emk_report *r);

#endif
