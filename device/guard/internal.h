/* What the guard's sources share; not for other folders. */
#ifndef EMK_DEVICE_GUARD_INTERNAL_H
#define EMK_DEVICE_GUARD_INTERNAL_H

#include "core/base/os_thread.h"
#include "device/guard/decoy.h"
#include "device/guard/env.h"
#include "device/guard/events.h"
#include "device/guard/modules.h"

#include <earmark/guard.h>

#define EMK_GUARD_INSTALLERS_MAX 8u

/* The guard's own copy of what its configuration pointed to. */
typedef struct emk_guard_rules {
    emk_guard_level level;
    bool development;
    bool has_signer;
    uint8_t signer[EMK_GUARD_HASH_LEN];
    char installers[EMK_GUARD_INSTALLERS_MAX][EMK_GUARD_NAME_MAX];
    size_t n_installers;
    char allowed[EMK_GUARD_ALLOWED_MAX][EMK_GUARD_NAME_MAX];
    size_t n_allowed;
    char engines[EMK_GUARD_MODULES_MAX][EMK_GUARD_NAME_MAX];
    size_t n_engines;
    uint8_t overrides[EMK_GUARD_SIGNALS];
} emk_guard_rules;

/* One look of one detector: what it may use, and where it says what it saw. */
typedef struct emk_guard_look {
    emk_env env;
    const emk_crypto *crypto;
    const emk_guard_rules *rules;
    const emk_guard_platform *platform;
    bool whole;      /* a round, not a probe: look at everything */
    uint64_t random; /* for what is chosen at random */
    /* What detectors carry from look to look; owned by the guard. */
    struct emk_guard_memory *memory;
    /* What was seen in this look: 0, or a confidence, by signal. */
    uint8_t seen[EMK_GUARD_SIGNALS];
    char details[EMK_GUARD_SIGNALS][EMK_GUARD_DETAIL_MAX];
} emk_guard_look;

typedef struct emk_guard_memory {
    uint8_t measurement[EMK_GUARD_HASH_LEN]; /* of our own code when the guard was made */
    bool measured;
    uint64_t wall_s, boot_ns; /* when the guard was made */
    uint64_t step_floor_ns;   /* the fastest that the timing loop ever was */
    emk_guard_events *events; /* who opens our memory; NULL: not watched */
    emk_guard_decoys decoys;
    unsigned own_maps; /* times that we read our own map since events were taken */
} emk_guard_memory;

/* A detector is one file; the row of the table stands at its end. */
typedef struct emk_detector {
    const char *name; /* static */
    void (*look)(emk_guard_look *l);
    bool slow; /* a probe that falls on it does only a part, or nothing */
} emk_detector;

/* The system's table: detectors_linux.c, detectors_apple.c, detectors_windows.c. */
extern const emk_detector *const emk_detectors[];
extern const size_t emk_n_detectors;
/* Beginnings of the names of the system's own libraries, ended by NULL: where calls may lead, and
 * those of them whose code is compared with their files. */
extern const char *const emk_system_calls[];
extern const char *const emk_system_code[];

extern const emk_detector emk_detect_tracer;
extern const emk_detector emk_detect_stepping;
extern const emk_detector emk_detect_maps;
extern const emk_detector emk_detect_threads;
extern const emk_detector emk_detect_pipes;
extern const emk_detector emk_detect_port;
extern const emk_detector emk_detect_preload;
extern const emk_detector emk_detect_calls;
extern const emk_detector emk_detect_code;
extern const emk_detector emk_detect_root;
extern const emk_detector emk_detect_emulator;
extern const emk_detector emk_detect_package;
extern const emk_detector emk_detect_clock;
extern const emk_detector emk_detect_screen;
extern const emk_detector emk_detect_memory;
extern const emk_detector emk_detect_images; /* where the system lists images and no mappings */

/* What a binding is worked out from; borrowed. */
typedef struct emk_guard_state {
    const emk_guard_finding *findings;
    size_t n;
    const uint8_t *overrides;
    const uint8_t *measurement;
} emk_guard_state;
emk_status emk_guard_bind_to(const emk_crypto *c, const emk_guard_state *s, emk_guard_level level,
                             uint8_t out[EMK_GUARD_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

/* Notes a signal with what was seen; of two in one look the surer one stays. */
void emk_guard_saw(emk_guard_look *l, emk_guard_signal s, emk_guard_confidence c,
                   const char *detail);
/* Notes that a look could not be made; a file that does not exist is not one (st says). */
void emk_guard_blind(emk_guard_look *l, emk_status st, const char *what);

/* Whether a file name (or the last part of a path) is on the allow list. */
bool emk_guard_is_allowed(const emk_guard_look *l, const char *path);
/* Whether it belongs to a watched engine. */
bool emk_guard_is_engine(const emk_guard_look *l, const char *path);
/* The last part of a path; lent. */
const char *emk_guard_base_name(const char *path);
/* Lower where the build is a development one. */
emk_guard_confidence emk_guard_outside_development(const emk_guard_look *l, emk_guard_confidence c);
/* Case-insensitive search for one of the words (ended by NULL); NULL when there is none. */
const char *emk_guard_find_word(const char *text, const char *const *words);

#endif
