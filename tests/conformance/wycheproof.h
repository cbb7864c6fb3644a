/* Inside the Wycheproof runner: one test and what its group says. */
#ifndef EMK_TESTS_CONFORMANCE_WYCHEPROOF_H
#define EMK_TESTS_CONFORMANCE_WYCHEPROOF_H

#include "tests/conformance/vec.h"

typedef enum emk_wp_result { EMK_WP_VALID, EMK_WP_INVALID, EMK_WP_ACCEPTABLE } emk_wp_result;

typedef struct emk_wp_test {
    emk_span algorithm; /* of the file; empty where it has none */
    const emk_dom *group;
    const emk_dom *test;
    emk_wp_result result;
} emk_wp_test;

bool emk_wp_has_flag(const emk_wp_test *t, const char *flag);

/* One test of a group of that type. */
void emk_wp_aead(emk_vec *v, const emk_wp_test *t);
void emk_wp_mac(emk_vec *v, const emk_wp_test *t);
void emk_wp_hkdf(emk_vec *v, const emk_wp_test *t);
void emk_wp_pbkdf2(emk_vec *v, const emk_wp_test *t);
void emk_wp_xdh(emk_vec *v, const emk_wp_test *t);
void emk_wp_xdh_jwk(emk_vec *v, const emk_wp_test *t);
void emk_wp_ecdh_point(emk_vec *v, const emk_wp_test *t);
void emk_wp_ecdh_jwk(emk_vec *v, const emk_wp_test *t);
void emk_wp_ecdsa(emk_vec *v, const emk_wp_test *t);
void emk_wp_eddsa(emk_vec *v, const emk_wp_test *t);
void emk_wp_mlkem(emk_vec *v, const emk_wp_test *t);
void emk_wp_mlkem_encaps(emk_vec *v, const emk_wp_test *t);
void emk_wp_mlkem_keygen(emk_vec *v, const emk_wp_test *t);

#endif
