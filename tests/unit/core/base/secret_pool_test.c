#include "core/base/secret_pool.h"

#include "core/base/fault.h"
#include "core/base/os_parallel.h"
#include "tests/support/test.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void lends_each_place_once(void **state)
{
    uint8_t *places[EMK_SECRET_PLACES];
    emk_secret_pool *p;
    emk_error e;

    (void)state;
    assert_ok(emk_secret_pool_new(&p, &e), &e);
    for (unsigned i = 0; i < EMK_SECRET_PLACES; i++) {
        places[i] = emk_secret_pool_take(p);
        assert_non_null(places[i]);
        memset(places[i], (int)i + 1, EMK_SECRET_PLACE_LEN);
    }
    assert_null(emk_secret_pool_take(p));
    for (unsigned i = 0; i < EMK_SECRET_PLACES; i++) {
        for (size_t k = 0; k < EMK_SECRET_PLACE_LEN; k++)
            assert_int_equal(places[i][k], i + 1);
        emk_secret_pool_give(p, places[i]);
    }
    emk_secret_pool_free(p);
}

static void wipes_what_is_given_back(void **state)
{
    static const uint8_t zeros[EMK_SECRET_PLACE_LEN];
    emk_secret_pool *p;
    uint8_t *place;
    emk_error e;

    (void)state;
    assert_ok(emk_secret_pool_new(&p, &e), &e);
    place = emk_secret_pool_take(p);
    memset(place, 0xAB, EMK_SECRET_PLACE_LEN);
    emk_secret_pool_give(p, place);
    assert_ptr_equal(emk_secret_pool_take(p), place);
    assert_memory_equal(place, zeros, sizeof zeros);
    emk_secret_pool_give(p, NULL);
    emk_secret_pool_free(p);
    emk_secret_pool_free(NULL);
}

static emk_status take_and_give(void *self, unsigned worker, emk_error *e)
{
    emk_secret_pool *p = self;

    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *place = emk_secret_pool_take(p);

        if (!place)
            continue;
        memset(place, (int)worker + 1, EMK_SECRET_PLACE_LEN);
        for (size_t k = 0; k < EMK_SECRET_PLACE_LEN; k++)
            if (place[k] != worker + 1)
                return emk_fail(e, EMK_E_CRYPTO, "two threads have one place", i);
        emk_secret_pool_give(p, place);
    }
    return EMK_OK;
}

static void lends_no_place_to_two_threads(void **state)
{
    emk_secret_pool *p;
    emk_error e;

    (void)state;
    assert_ok(emk_secret_pool_new(&p, &e), &e);
    assert_ok(emk_parallel_run(4, take_and_give, p, &e), &e);
    emk_secret_pool_free(p);
}

static void a_forked_child_sees_zeros_and_can_free(void **state)
{
    emk_secret_pool *p;
    uint8_t *place;
    emk_error e;
    pid_t child;
    int how;

    (void)state;
    if (emk_test_is_emulated())
        skip(); /* qemu-user knows no MADV_WIPEONFORK */
    assert_ok(emk_secret_pool_new(&p, &e), &e);
    place = emk_secret_pool_take(p);
    memset(place, 0xAB, EMK_SECRET_PLACE_LEN);
    child = fork();
    if (child == 0) {
        int seen = place[0] != 0;

        emk_secret_pool_give(p, place);
        emk_secret_pool_free(p);
        _exit(seen);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    assert_int_equal(place[0], 0xAB);
    emk_secret_pool_give(p, place);
    emk_secret_pool_free(p);
}

static void fails_cleanly_without_memory(void **state)
{
    emk_secret_pool *p = NULL;
    emk_error e;

    (void)state;
#ifdef EMK_FAULTS
    for (uint64_t n = 1; n <= 2; n++) {
        emk_fault_fail_at(EMK_FAULT_ALLOC, n);
        assert_status(emk_secret_pool_new(&p, &e), EMK_E_NO_MEMORY, &e);
        assert_null(p);
    }
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
#endif
    assert_ok(emk_secret_pool_new(&p, &e), &e);
    emk_secret_pool_free(p);
}

int main(void)
{
    return EMK_RUN(emk_rule(lends_each_place_once), emk_rule(wipes_what_is_given_back),
                   emk_rule(lends_no_place_to_two_threads),
                   emk_rule(a_forked_child_sees_zeros_and_can_free),
                   emk_rule(fails_cleanly_without_memory));
}
