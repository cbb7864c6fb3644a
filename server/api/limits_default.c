#include "server/api/limits_default.h"

static const emk_limit_rule RATES[] = {
    {.name = "failures",
     .by = EMK_LIMIT_BY_NET,
     .unit = EMK_LIMIT_FAILURES,
     .quota = 100,
     .window_s = 600},
    {.name = "login", .by = EMK_LIMIT_BY_NET, .quota = 20, .window_s = 60, .route = "makeSession"},
    {.name = "login-all",
     .by = EMK_LIMIT_BY_ALL,
     .quota = 120,
     .window_s = 60,
     .route = "makeSession"},
    {.name = "challenges",
     .by = EMK_LIMIT_BY_NET,
     .quota = 600,
     .window_s = 60,
     .route = "makeChallenge"},
    {.name = "enrolments",
     .by = EMK_LIMIT_BY_USER,
     .quota = 20,
     .window_s = 86400,
     .route = "enrolDevice"},
    {.name = "user", .by = EMK_LIMIT_BY_USER, .quota = 1200, .window_s = 60},
    {.name = "device", .by = EMK_LIMIT_BY_DEVICE, .quota = 600, .window_s = 60},
    {.name = "user-cost",
     .by = EMK_LIMIT_BY_USER,
     .unit = EMK_LIMIT_COST,
     .quota = 20000,
     .window_s = 3600},
    {.name = "operator", .by = EMK_LIMIT_BY_NAME, .quota = 60000, .window_s = 60},
};

static const emk_concurrency_rule PLACES[] = {
    /* A password takes 32 MiB and a tenth of a second of one processor. */
    {.name = "login", .by = EMK_LIMIT_BY_ALL, .max = 4, .life_s = 10},
};

const emk_limit_rule *emk_limits_default(size_t *n)
{
    *n = sizeof RATES / sizeof RATES[0];
    return RATES;
}

const emk_concurrency_rule *emk_concurrency_default(size_t *n)
{
    *n = sizeof PLACES / sizeof PLACES[0];
    return PLACES;
}
