/* What is remembered of an entity, kind by kind.  All of it is plain integers in the entity's
 * memory, zero at first, so that a dump of the memory is a snapshot.
 *
 * Windows are rings of 12 buckets; a value is that of the bucket in hand and the 11 before,
 * so it covers at most the window and at least 11/12 of it. */
#include "server/fraud/internal.h"

#define HLL_CELLS   64u
#define LEASES      6u
#define SEEN        4u
#define DAY_S       86400u
#define HOURS_A_DAY 24u
#define EWMA        3u    /* an average moves by 1/8 */
#define CV_MAX      10000 /* thousandths */
#define KMH_MAX     INT64_C(1000000000)

typedef struct count_state {
    uint32_t last;      /* bucket */
    uint8_t b[BUCKETS]; /* 255 and more are 255 */
} count_state;

typedef struct sum_state {
    uint32_t last;
    uint32_t b[BUCKETS]; /* in sum_unit, rounded up; stops at its end */
} sum_state;

/* What a set holds, and a cell of a HyperLogLog, is kept with its bucket modulo 16 in the low
 * four bits: nothing stays that is older than 12 buckets at `last`, so its age is certain.
 * After the set's places, those in use first, follow the cells, one byte each. */
typedef struct distinct_state {
    uint32_t last;
    uint16_t n;
    uint16_t full; /* buckets ago + 1 that the exact set last lost something; 0: never */
    uint32_t place[];
} distinct_state;

typedef struct decay_state {
    uint64_t v; /* thousandths << 16 */
    uint64_t last;
} decay_state;

typedef struct max_state {
    int64_t v;
    uint64_t last; /* 0: never */
} max_state;

typedef struct gap_state {
    uint64_t last : 48, n : 16; /* n stops at its end */
    uint64_t mean, deviation;   /* ms << 8 */
} gap_state;

typedef struct geo_state {
    uint64_t last;
    int32_t lat, lon;
    uint32_t net, accuracy_m;
} geo_state;

typedef struct replay_state {
    uint64_t highest, bits;
} replay_state;

typedef struct timed_hash {
    uint32_t hash, time_s;
} timed_hash;

/* Those of the window's days, a bit an hour; day d is at place d modulo their number. */
typedef struct hours_state {
    uint32_t last; /* day */
    uint8_t of_day[][3];
} hours_state;

/* A visit lasts ttl from its first word, so that talking on and on is not one visit.  What it
 * showed is known when it is over: late events of a queue show more than the clock is behind, and
 * its least is of those that were sent at once. */
typedef struct drift_state {
    uint32_t begin_s;       /* of the visit in hand; 0: none yet */
    int32_t highest, least; /* seconds behind: of visits before, and of this one */
    uint16_t rises, based;
} drift_state;

static uint32_t days_of_window(const feature *f)
{
    uint32_t days = (uint32_t)(f->window_ms / 1000 / DAY_S);

    return days ? days : 1;
}

/* Rounded up to whole words. */
static uint32_t hours_size(const feature *f)
{
    return ((uint32_t)sizeof(hours_state) + 3 * days_of_window(f) + 3) & ~UINT32_C(3);
}

uint32_t emk_fraud_feature_size(const feature *f)
{
    switch (f->kind) {
    case FK_COUNT:
        return sizeof(count_state);
    case FK_SUM:
        return sizeof(sum_state);
    case FK_DISTINCT:
        return (uint32_t)sizeof(distinct_state) + f->places * (uint32_t)sizeof(uint32_t) +
               (f->approx ? HLL_CELLS : 0);
    case FK_DECAY:
    case FK_RATE:
        return sizeof(decay_state);
    case FK_AGE:
    case FK_LAST:
        return sizeof(uint64_t);
    case FK_MAX:
    case FK_CLOCK:
        return sizeof(max_state);
    case FK_GAP_CV:
        return sizeof(gap_state);
    case FK_RATIO:
        return 2 * sizeof(decay_state);
    case FK_GEO:
        return sizeof(geo_state);
    case FK_REPLAY:
        return sizeof(replay_state);
    case FK_INFLIGHT:
        return LEASES * sizeof(timed_hash);
    case FK_SEEN:
    case FK_KNOWN:
        return SEEN * sizeof(timed_hash);
    case FK_SINCE:
        return sizeof(uint32_t);
    case FK_HOURS:
        return hours_size(f);
    case FK_DRIFT:
        return sizeof(drift_state);
    default:
        return 0;
    }
}

bool emk_fraud_feature_is_wide(const feature *f)
{
    switch (f->kind) {
    case FK_COUNT:
    case FK_SUM:
    case FK_DISTINCT:
    case FK_INFLIGHT:
    case FK_SEEN:
    case FK_SINCE:
    case FK_KNOWN:
    case FK_HOURS:
    case FK_DRIFT:
        return false;
    default:
        return true;
    }
}

bool emk_fraud_feature_is_sound(const feature *f, const void *state)
{
    return f->kind != FK_DISTINCT || ((const distinct_state *)state)->n <= f->places;
}

static value known(int64_t v)
{
    return (value){v, true};
}

static value unknown(void)
{
    return (value){0, false};
}

static value whole(uint64_t v)
{
    return known(v > INT64_MAX / 1000 ? INT64_MAX : (int64_t)v * 1000);
}

static value version_of(emk_span s)
{
    int64_t part[3] = {0};
    unsigned n = 0;

    for (size_t i = 0; i < s.len && n < 3; i++) {
        if (s.p[i] >= '0' && s.p[i] <= '9')
            part[n] = part[n] * 10 + (s.p[i] - '0');
        else if (s.p[i] == '.')
            n++;
        else
            break;
        if (n < 3 && part[n] > 999)
            return unknown();
    }
    return (value){(part[0] * 1000000 + part[1] * 1000 + part[2]) * 1000, s.len > 0};
}

value emk_fraud_number(const emk_fraud_event *ev, emk_fraud_field f)
{
    if (!emk_fraud_has(ev, f))
        return unknown();
    if (EMK_FRAUD_FIELD[f].kind != EMK_FRAUD_TEXT)
        return known(ev->f[f].number);
    return f == EMK_FRAUD_F_APP_VER ? version_of(ev->f[f].text) : unknown();
}

static bool is_on(const feature *f, const touch *t)
{
    return f->on >> t->ev->type & 1;
}

/* ---- count, sum ---- */

/* Passes over to the bucket of now; false when all buckets are out of the window. */
static void count_move(count_state *s, uint32_t bucket)
{
    uint32_t gap = bucket - s->last;

    for (uint32_t i = 1; i <= gap && i <= BUCKETS; i++)
        s->b[(s->last + i) % BUCKETS] = 0;
    s->last = bucket;
}

static void count_add(const feature *f, count_state *s, uint64_t now)
{
    uint32_t bucket = (uint32_t)(now / f->bucket_ms);
    uint8_t *b;

    count_move(s, bucket);
    b = &s->b[bucket % BUCKETS];
    *b = (uint8_t)(*b + (*b < UINT8_MAX));
}

static value count_read(const feature *f, const count_state *s, uint64_t now)
{
    uint32_t gap = (uint32_t)(now / f->bucket_ms) - s->last;
    uint64_t sum = 0;

    /* The `gap` oldest buckets are those behind the last one in the ring. */
    for (uint32_t age = 0; age + gap < BUCKETS; age++)
        sum += s->b[(s->last + BUCKETS - age) % BUCKETS];
    return whole(sum);
}

/* Thousandths of one unit of a sum: hundredths, and KiB of what is counted in bytes. */
static int64_t sum_unit(const feature *f)
{
    return f->of == EMK_FRAUD_F_BYTES ? 1024000 : 10;
}

static void sum_add(const feature *f, sum_state *s, int64_t v, uint64_t now)
{
    uint32_t bucket = (uint32_t)(now / f->bucket_ms), gap = bucket - s->last;

    for (uint32_t i = 1; i <= gap && i <= BUCKETS; i++)
        s->b[(s->last + i) % BUCKETS] = 0;
    s->last = bucket;
    v = v / sum_unit(f) + (v % sum_unit(f) != 0) + s->b[bucket % BUCKETS];
    s->b[bucket % BUCKETS] = v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

static value sum_read(const feature *f, const sum_state *s, uint64_t now)
{
    uint32_t gap = (uint32_t)(now / f->bucket_ms) - s->last;
    int64_t sum = 0;

    for (uint32_t age = 0; age + gap < BUCKETS; age++)
        sum += s->b[(s->last + BUCKETS - age) % BUCKETS];
    return known(sum * sum_unit(f));
}

/* ---- distinct ---- */

#define AGE_MASK       15u
#define RECENT_BUCKETS 2u

static uint8_t *cells_of(const feature *f, distinct_state *s)
{
    return (uint8_t *)(s->place + f->places);
}

/* Buckets before s->last. */
static uint32_t age_of(const distinct_state *s, uint32_t word)
{
    return (s->last - word) & AGE_MASK;
}

/* Drops what left the window on the way from bucket s->last to `bucket`. */
static void distinct_move(const feature *f, distinct_state *s, uint32_t bucket)
{
    uint32_t gap = bucket - s->last, kept = 0;
    uint8_t *cell = cells_of(f, s);

    if (gap == 0)
        return;
    for (uint32_t i = 0; i < s->n && gap < BUCKETS; i++) {
        if (age_of(s, s->place[i]) + gap < BUCKETS)
            s->place[kept++] = s->place[i];
    }
    for (uint32_t i = 0; f->approx && i < HLL_CELLS; i++) {
        if (gap >= BUCKETS || age_of(s, cell[i]) + gap >= BUCKETS)
            cell[i] = 0;
    }
    s->n = (uint16_t)kept;
    s->full = (uint16_t)(s->full && s->full + gap <= BUCKETS ? s->full + gap : 0);
    s->last = bucket;
}

/* A cell's rank, 1 to 15, is in its high bits: beyond 64 x 2^15 things it says no more. */
static void hll_add(uint8_t *cell, uint64_t hash, uint32_t bucket)
{
    uint8_t *c = &cell[hash & (HLL_CELLS - 1)];
    uint32_t rank = (uint32_t)__builtin_ctzll(hash >> 8 | UINT64_C(1) << 14) + 1;

    if (rank >= *c >> 4)
        *c = (uint8_t)(rank << 4 | (bucket & AGE_MASK));
}

static void distinct_add(const feature *f, distinct_state *s, uint64_t h, uint64_t now)
{
    uint32_t bucket = (uint32_t)(now / f->bucket_ms), i = 0;
    uint32_t word = ((uint32_t)(h >> 32) & ~AGE_MASK) | (bucket & AGE_MASK);

    distinct_move(f, s, bucket);
    if (f->approx)
        hll_add(cells_of(f, s), h, bucket);
    while (i < s->n && (s->place[i] ^ word) > AGE_MASK)
        i++;
    if (i == f->places) {
        /* The least recent one goes; from now on the set is a lower bound. */
        for (uint32_t j = i = 0; j < s->n; j++) {
            if (age_of(s, s->place[j]) > age_of(s, s->place[i]))
                i = j;
        }
        s->full = 1;
    } else if (i == s->n) {
        s->n++;
    }
    s->place[i] = word;
}

/* Cells filled so far, as the number of different things that fill so many on average: a sum
 * that needs no logarithm; beyond 2.5 x 64 the harmonic mean.  (Flajolet and others, 2007) */
static uint64_t hll_read(const distinct_state *s, const uint8_t *cell, uint32_t gap)
{
    uint64_t sum = 0, estimate, low = 0;
    uint32_t empty = 0;

    for (uint32_t i = 0; i < HLL_CELLS; i++) {
        uint32_t rank = age_of(s, cell[i]) + gap >= BUCKETS ? 0 : cell[i] >> 4;

        sum += UINT64_C(1) << (40 - rank);
        empty += rank == 0;
    }
    /* 0.709 * 64 * 64 * 2^40 / sum */
    estimate = (UINT64_C(2904) << 40) / (sum ? sum : 1);
    if (estimate > HLL_CELLS * 5 / 2 || empty == 0)
        return estimate;
    for (uint32_t k = empty + 1; k <= HLL_CELLS; k++)
        low += ((uint64_t)HLL_CELLS << 16) / k;
    return (low + (1u << 15)) >> 16;
}

static value distinct_read(const feature *f, const distinct_state *cs, unsigned sub, uint64_t now)
{
    distinct_state *s = (distinct_state *)(uintptr_t)cs;
    uint32_t gap = (uint32_t)(now / f->bucket_ms) - s->last;
    bool full = s->full && s->full + gap <= BUCKETS;
    uint64_t n = 0;

    if (gap >= BUCKETS)
        return whole(0);
    if (sub == 1)
        return whole(full && !f->approx);
    for (uint32_t i = 0; i < s->n; i++)
        n += age_of(s, s->place[i]) + gap < (sub == 2 ? RECENT_BUCKETS : BUCKETS);
    if (sub == 2)
        return whole(n);
    if (full && f->approx) {
        uint64_t many = hll_read(s, cells_of(f, s), gap);

        n = many > n ? many : n;
    }
    return whole(n);
}

/* ---- decay, rate, ratio ---- */

static void decay_add(decay_state *s, int64_t milli, uint64_t half, uint64_t now)
{
    uint64_t v = emk_fraud_decay(s->v, now - s->last, half);
    uint64_t d = (milli < 0 ? (uint64_t)-milli : (uint64_t)milli) << 16;

    if (milli < 0)
        v = v > d ? v - d : 0;
    else
        v = v + d < v ? UINT64_MAX : v + d;
    s->v = v;
    s->last = now;
}

static uint64_t decayed(const decay_state *s, uint64_t half, uint64_t now)
{
    return emk_fraud_decay(s->v, now - s->last, half) >> 16;
}

static void decay_take(const feature *f, decay_state *s, const touch *t)
{
    int64_t add = f->add[t->ev->type];
    unsigned by = f->add_field[t->ev->type];

    if (by < EMK_FRAUD_FIELDS) {
        if (!emk_fraud_has(t->ev, (emk_fraud_field)by))
            return;
        add = emk_fraud_mul(add, t->ev->f[by].number);
    }
    if (f->max_add && add > f->max_add)
        add = f->max_add;
    decay_add(s, add, f->half_ms, t->now);
}

/* What is still owed of a rate of `limit` a window: GCRA, counted from the other end. */
static uint64_t rate_level(const feature *f, const decay_state *s, uint64_t now)
{
    uint64_t dt = now - s->last, leak;

    if (dt >= f->window_ms * 64)
        return 0;
    leak = (dt << 16) / f->window_ms * (uint64_t)f->limit;
    return s->v > leak ? s->v - leak : 0;
}

static void rate_take(const feature *f, decay_state *s, const touch *t)
{
    uint64_t cost = f->has_of ? (uint64_t)t->ev->f[f->of].number : 1000;

    s->v = rate_level(f, s, t->now) + (cost << 16);
    s->last = t->now;
}

static value ratio_read(const feature *f, const decay_state s[2], unsigned sub, uint64_t now)
{
    uint64_t part = decayed(&s[0], f->half_ms, now), all = decayed(&s[1], f->half_ms, now);

    if (sub == 1)
        return known((int64_t)all);
    return all < 1 ? unknown() : known((int64_t)(part * 1000 / all));
}

/* ---- gaps, places, counters ---- */

static void gap_take(gap_state *s, uint64_t now)
{
    uint64_t gap, diff;

    if (s->n > 0) {
        gap = (now - s->last) << 8;
        if (s->n == 1)
            s->mean = gap;
        diff = gap > s->mean ? gap - s->mean : s->mean - gap;
        s->mean = s->mean - (s->mean >> EWMA) + (gap >> EWMA);
        s->deviation = s->deviation - (s->deviation >> EWMA) + (diff >> EWMA);
    }
    s->n = (uint16_t)(s->n + (s->n < UINT16_MAX));
    s->last = now & EMK_FRAUD_MS_MASK;
}

/* Mean deviation by mean: 0 is a clockwork, 0.74 is chance. */
static value gap_read(const gap_state *s, unsigned sub)
{
    uint64_t cv;

    if (sub == 1)
        return whole(s->n);
    if (sub == 2)
        return whole(s->mean >> 8);
    if (s->n < 3 || s->mean == 0)
        return unknown();
    cv = s->deviation * 1000 / s->mean;
    return known(cv < CV_MAX ? (int64_t)cv : CV_MAX);
}

static value speed(const feature *f, const geo_state *s, const geo_state *n)
{
    uint64_t metres = emk_fraud_metres(s->lat, s->lon, n->lat, n->lon);
    uint64_t blur = (uint64_t)s->accuracy_m + n->accuracy_m, dt = n->last - s->last;
    uint64_t kmh;

    metres = metres > blur ? metres - blur : 0;
    if (metres < f->min_m || s->net == n->net)
        return whole(0);
    kmh = metres * 3600 / (dt ? dt : 1); /* m/ms is 3600 km/h */
    return whole(kmh < (uint64_t)KMH_MAX ? kmh : (uint64_t)KMH_MAX);
}

static void geo_take(const feature *f, geo_state *s, const touch *t, value *at)
{
    const emk_fraud_event *ev = t->ev;
    geo_state n = {.last = t->now};

    if (!emk_fraud_has(ev, EMK_FRAUD_F_LAT) || !emk_fraud_has(ev, EMK_FRAUD_F_LON))
        return;
    n.lat = (int32_t)ev->f[EMK_FRAUD_F_LAT].number;
    n.lon = (int32_t)ev->f[EMK_FRAUD_F_LON].number;
    n.net = (uint32_t)t->hash[EMK_FRAUD_F_NET];
    if (emk_fraud_has(ev, EMK_FRAUD_F_GEO_KM))
        n.accuracy_m = (uint32_t)ev->f[EMK_FRAUD_F_GEO_KM].number;
    *at = s->last ? speed(f, s, &n) : whole(0);
    *s = n;
}

/* 1 when the counter was there before or is too old to know. */
static void replay_take(const feature *f, replay_state *s, const touch *t, value *at)
{
    uint64_t n = (uint64_t)t->ev->f[f->of].number / 1000 + 1; /* 0 in the state: none yet */
    bool again = false;

    if (n > s->highest) {
        uint64_t step = n - s->highest;

        s->bits = (step < 64 ? s->bits << step : 0) | 1;
        s->highest = n;
    } else if (s->highest - n >= 64) {
        again = true;
    } else {
        again = s->bits >> (s->highest - n) & 1;
        s->bits |= UINT64_C(1) << (s->highest - n);
    }
    *at = whole(again);
}

static void inflight_take(const feature *f, timed_hash *s, const touch *t)
{
    uint32_t h = (uint32_t)t->hash[f->of], now = (uint32_t)(t->now / 1000), place = 0;
    bool ends = f->off >> t->ev->type & 1;

    for (uint32_t i = 0; i < LEASES; i++) {
        if (s[i].hash == h && s[i].time_s) {
            place = i;
            break;
        }
        if (s[i].time_s < s[place].time_s)
            place = i; /* empty, or the first to end */
    }
    if (ends && s[place].hash != h)
        return;
    s[place] = (timed_hash){h, ends ? 0 : now + (uint32_t)(f->ttl_ms / 1000)};
}

static value inflight_read(const timed_hash *s, uint64_t now)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < LEASES; i++)
        n += s[i].time_s > now / 1000;
    return whole(n);
}

static void seen_take(const feature *f, timed_hash *s, const touch *t, value *at)
{
    uint32_t h = (uint32_t)t->hash[f->of], now = (uint32_t)(t->now / 1000), place = 0;
    bool was = false;

    for (uint32_t i = 0; i < SEEN; i++) {
        if (s[i].hash == h && s[i].time_s) {
            was = now - s[i].time_s <= f->window_ms / 1000;
            place = i;
            break;
        }
        if (s[i].time_s < s[place].time_s)
            place = i;
    }
    s[place] = (timed_hash){h, now};
    *at = whole(was);
}

/* Values in the order of their last use, the latest in front; the last one goes. */
static void known_take(const feature *f, timed_hash *s, const touch *t, value *at)
{
    uint32_t h = (uint32_t)t->hash[f->of], now = (uint32_t)(t->now / 1000), i = 0;
    timed_hash one = {h, now};

    while (i < SEEN - 1 && s[i].time_s && s[i].hash != h)
        i++;
    if (s[i].time_s && s[i].hash == h)
        one = s[i];
    memmove(s + 1, s, i * sizeof *s);
    s[0] = one;
    *at = whole(now - one.time_s);
}

/* ---- hours of rest, a clock that falls behind ---- */

static void hours_take(const feature *f, hours_state *s, uint64_t now)
{
    uint32_t n = days_of_window(f), day = (uint32_t)(now / 1000 / DAY_S), gap = day - s->last;
    uint32_t hour = (uint32_t)(now / 1000 % DAY_S / (DAY_S / HOURS_A_DAY));

    for (uint32_t i = 1; i <= gap && i <= n; i++)
        memset(s->of_day[(s->last + i) % n], 0, sizeof s->of_day[0]);
    s->last = day;
    s->of_day[day % n][hour / 8] |= (uint8_t)(1u << hour % 8);
}

/* The longest time without an hour of these, over midnight as well. */
static uint32_t rest_of(uint32_t hours)
{
    uint32_t run = 0, longest = 0;

    for (uint32_t i = 0; i < 2 * HOURS_A_DAY; i++) {
        run = hours >> i % HOURS_A_DAY & 1 ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest < HOURS_A_DAY ? longest : HOURS_A_DAY;
}

static value hours_read(const feature *f, const hours_state *s, unsigned sub, uint64_t now)
{
    uint32_t n = days_of_window(f), gap = (uint32_t)(now / 1000 / DAY_S) - s->last;
    uint32_t all = 0, days = 0;

    for (uint32_t age = 0; age + gap < n && age <= s->last; age++) {
        const uint8_t *p = s->of_day[(s->last - age) % n];
        uint32_t hours = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

        all |= hours;
        days += hours != 0;
    }
    if (sub == 1)
        return whole((uint64_t)__builtin_popcount(all));
    return whole(sub == 2 ? days : rest_of(all));
}

static int32_t behind_s(const touch *t)
{
    int64_t s = ((int64_t)t->now - t->ev->f[EMK_FRAUD_F_TS_CLIENT].number / 1000) / 1000;

    return (int32_t)(s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s);
}

/* Claims can only add: a visit counts when even its least is behind all visits before. */
static void end_visit(const feature *f, drift_state *s)
{
    int64_t step = (int64_t)(f->step_ms / 1000);

    if (s->based && s->least >= s->highest + step)
        s->rises = (uint16_t)(s->rises + (s->rises < UINT16_MAX));
    if (!s->based || s->least > s->highest)
        s->highest = s->least;
    s->based = 1;
}

static void drift_take(const feature *f, drift_state *s, const touch *t)
{
    uint32_t now = (uint32_t)(t->now / 1000);
    int32_t behind;

    if (!emk_fraud_has(t->ev, EMK_FRAUD_F_TS_CLIENT))
        return;
    behind = behind_s(t);
    if (s->begin_s && now - s->begin_s > f->window_ms / 1000)
        *s = (drift_state){0};
    if (s->begin_s && now - s->begin_s <= f->ttl_ms / 1000) {
        s->least = behind < s->least ? behind : s->least;
        return;
    }
    if (s->begin_s)
        end_visit(f, s);
    s->begin_s = now;
    s->least = behind;
}

static value drift_read(const feature *f, const drift_state *s, uint64_t now)
{
    if (s->begin_s == 0 || now / 1000 - s->begin_s > f->window_ms / 1000)
        return unknown();
    return whole(s->rises);
}

static void clock_take(const feature *f, max_state *s, const touch *t)
{
    int64_t back = emk_fraud_sub((int64_t)t->now * 1000, t->ev->f[EMK_FRAUD_F_TS_CLIENT].number);

    if (!emk_fraud_has(t->ev, EMK_FRAUD_F_TS_CLIENT))
        return;
    if (s->last == 0 || back > s->v || t->now - s->last > f->window_ms) {
        s->v = back;
        s->last = t->now;
    }
}

static void max_take(const feature *f, max_state *s, const touch *t)
{
    value v = emk_fraud_number(t->ev, f->of);

    if (!v.known)
        return;
    if (s->last == 0 || v.v > s->v || (f->window_ms && t->now - s->last > f->window_ms)) {
        s->v = v.v;
        s->last = t->now;
    }
}

static value max_read(const feature *f, const max_state *s, uint64_t now)
{
    if (s->last == 0 || (f->window_ms && now - s->last > f->window_ms))
        return unknown();
    return known(s->v);
}

/* ---- all kinds ---- */

static value since_read(const uint32_t *at, uint64_t now)
{
    return *at ? whole(now / 1000 - *at) : unknown();
}

static void take_by_time(const feature *f, void *state, const touch *t, value *at)
{
    uint64_t *ms = state;

    if (f->kind == FK_LAST) {
        *at = *ms ? whole((t->now - *ms) / 1000) : unknown();
        *ms = t->now;
    } else if (*ms == 0) {
        *ms = t->now;
    }
}

/* What shows in the course of days. */
static void take_behaviour(const feature *f, void *state, const touch *t, value *at)
{
    switch (f->kind) {
    case FK_KNOWN:
        known_take(f, state, t, at);
        break;
    case FK_SINCE:
        *(uint32_t *)state = (uint32_t)(t->now / 1000);
        break;
    case FK_HOURS:
        hours_take(f, state, t->now);
        break;
    case FK_DRIFT:
        drift_take(f, state, t);
        break;
    default:
        break;
    }
}

void emk_fraud_feature_update(const feature *f, void *state, const touch *t, value *at)
{
    if (f->has_of && !emk_fraud_has(t->ev, f->of))
        return;
    switch (f->kind) {
    case FK_COUNT:
        count_add(f, state, t->now);
        break;
    case FK_SUM:
        sum_add(f, state, t->ev->f[f->of].number, t->now);
        break;
    case FK_DISTINCT:
        distinct_add(f, state, t->hash[f->of], t->now);
        break;
    case FK_DECAY:
        decay_take(f, state, t);
        break;
    case FK_RATE:
        rate_take(f, state, t);
        break;
    case FK_AGE:
    case FK_LAST:
        take_by_time(f, state, t, at);
        break;
    case FK_MAX:
        max_take(f, state, t);
        break;
    case FK_GAP_CV:
        gap_take(state, t->now);
        break;
    case FK_RATIO:
        decay_add((decay_state *)state + is_on(f, t), 1000, f->half_ms, t->now);
        break;
    case FK_GEO:
        geo_take(f, state, t, at);
        break;
    case FK_REPLAY:
        replay_take(f, state, t, at);
        break;
    case FK_INFLIGHT:
        inflight_take(f, state, t);
        break;
    case FK_CLOCK:
        clock_take(f, state, t);
        break;
    case FK_SEEN:
        seen_take(f, state, t, at);
        break;
    default:
        take_behaviour(f, state, t, at);
    }
}

value emk_fraud_feature_read(const feature *f, const void *state, unsigned sub, uint64_t now)
{
    const uint64_t *ms = state;

    switch (f->kind) {
    case FK_COUNT:
        return count_read(f, state, now);
    case FK_SUM:
        return sum_read(f, state, now);
    case FK_DISTINCT:
        return distinct_read(f, state, sub, now);
    case FK_DECAY:
        return known((int64_t)decayed(state, f->half_ms, now));
    case FK_RATE:
        return known((int64_t)(rate_level(f, state, now) >> 16));
    case FK_AGE:
        return *ms ? whole((now - *ms) / 1000) : unknown();
    case FK_MAX:
    case FK_CLOCK:
        return max_read(f, state, now);
    case FK_GAP_CV:
        return gap_read(state, sub);
    case FK_RATIO:
        return ratio_read(f, state, sub, now);
    case FK_INFLIGHT:
        return inflight_read(state, now);
    case FK_SINCE:
        return since_read(state, now);
    case FK_HOURS:
        return hours_read(f, state, sub, now);
    case FK_DRIFT:
        return drift_read(f, state, now);
    default:
        return unknown(); /* has a value at its events only */
    }
}

/* ---- count-min ---- */

static void sketch_move(const feature *f, sketch *s, uint64_t now)
{
    uint64_t generation = now / f->window_ms;

    if (generation == s->generation)
        return;
    if (generation != s->generation + 1)
        memset(s->cell, 0, sizeof s->cell);
    memset(s->cell[generation & 1], 0, sizeof s->cell[0]);
    s->generation = generation;
}

static uint32_t cell_of(uint64_t hash, unsigned row)
{
    return (uint32_t)(hash >> (16 * row)) % SKETCH_CELLS;
}

void emk_fraud_sketch_add(const feature *f, sketch *s, uint64_t hash, uint64_t now)
{
    sketch_move(f, s, now);
    for (unsigned r = 0; r < SKETCH_ROWS; r++) {
        uint32_t *c = &s->cell[s->generation & 1][r][cell_of(hash, r)];

        *c += *c < UINT32_MAX;
    }
}

static uint64_t sketch_min(const sketch *s, unsigned half, uint64_t hash)
{
    uint64_t least = UINT64_MAX;

    for (unsigned r = 0; r < SKETCH_ROWS; r++) {
        uint32_t c = s->cell[half][r][cell_of(hash, r)];

        least = c < least ? c : least;
    }
    return least;
}

/* This generation, and of the one before the share that the window still covers. */
int64_t emk_fraud_sketch_read(const feature *f, const sketch *s, uint64_t hash, uint64_t now)
{
    uint64_t generation = now / f->window_ms, left = f->window_ms - now % f->window_ms;
    uint64_t n = 0;

    if (generation == s->generation)
        n = sketch_min(s, generation & 1, hash) * 1000 +
            sketch_min(s, ~generation & 1, hash) * left / f->window_ms * 1000;
    else if (generation == s->generation + 1)
        n = sketch_min(s, s->generation & 1, hash) * left / f->window_ms * 1000;
    return (int64_t)n;
}
