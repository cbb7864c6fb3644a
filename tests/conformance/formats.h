/* The formats this program knows, each recognised by what is in the file. */
#ifndef EMK_TESTS_CONFORMANCE_FORMATS_H
#define EMK_TESTS_CONFORMANCE_FORMATS_H

#include "tests/conformance/vec.h"

/* A JSON format.  `first` is the first element where root is an array, else root itself. */
typedef struct emk_json_format {
    const char *name;
    bool (*is)(const emk_dom *root, const emk_dom *first);
    void (*run)(emk_vec *v, const emk_dom *root);
} emk_json_format;

extern const emk_json_format emk_format_wycheproof;
extern const emk_json_format emk_format_hpke;
extern const emk_json_format emk_format_hpke_negative;
extern const emk_json_format emk_format_xwing;
extern const emk_json_format emk_format_stream;
extern const emk_json_format emk_format_cbor_examples;
extern const emk_json_format emk_format_cbor_rules;
extern const emk_json_format emk_format_cose_example;
extern const emk_json_format emk_format_cose_hpke;
extern const emk_json_format emk_format_jose_hpke;

/* Formats that are recognised and left for later: name, is, and why. */
typedef struct emk_later_format {
    const char *name;
    bool (*is)(const emk_dom *root, const emk_dom *first);
    const char *why;
} emk_later_format;

extern const emk_later_format emk_later_formats[];
extern const size_t emk_n_later_formats;

/* A text head, an empty line, then bytes. */
typedef struct emk_head_format {
    const char *name;
    bool (*is)(emk_span file);
    void (*run)(emk_vec *v, emk_span file);
} emk_head_format;

extern const emk_head_format emk_format_age;
extern const emk_head_format emk_format_kit;
extern const emk_head_format emk_format_messages;

#endif
