/* The guard: sees debuggers, hooks, patched code, rooted devices and other company that a
 * protected model does not want, and says what the policy makes of it.
 *
 * What it is not: on a device whose kernel the attacker owns it raises cost and gives warning,
 * no more.  A client's report can raise a risk, never lower it; the server takes it so.
 *
 * A guard looks in rounds (all detectors, when it is made and whenever the app asks) and in
 * probes (one detector, chosen at random).  Each look goes into a running transcript: a hash
 * that only a guard which did all its looks can have.  A look that could not be made is a
 * finding too (EMK_GUARD_BLIND).
 *
 * The table of signals, each with what it sees, how it can be evaded, what honest thing looks
 * like it and how sure it is, is emk_guard_signal_info; docs/operate/guard.md prints it.
 *
 * Thread rule: any thread, one guard for a process. */
#ifndef EARMARK_GUARD_H
#define EARMARK_GUARD_H

#include <earmark/crypto.h>
#include <earmark/span.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_GUARD_DETAIL_MAX  96u  /* bytes of a finding's detail, with its zero */
#define EMK_GUARD_ALLOWED_MAX 32u  /* names on the allow list */
#define EMK_GUARD_NAME_MAX    128u /* bytes of one of them */
#define EMK_GUARD_MODULES_MAX 8u   /* modules of engines to watch */
#define EMK_GUARD_HASH_LEN    32u
#define EMK_GUARD_NONCE_MAX   64u

/* What was seen.  The numbers go into reports: append, never renumber. */
typedef enum emk_guard_signal {
    EMK_GUARD_BLIND = 0,        /* a look could not be made, or was cut short */
    EMK_GUARD_TRACER,           /* another process traces this one */
    EMK_GUARD_BREAKPOINT,       /* breakpoint instructions in our own code */
    EMK_GUARD_SINGLE_STEP,      /* code runs as slowly as when it is stepped */
    EMK_GUARD_AGENT_MAP,        /* an instrumentation agent is mapped */
    EMK_GUARD_AGENT_THREAD,     /* ... has threads here */
    EMK_GUARD_AGENT_PIPE,       /* ... has its pipes or memory files open here */
    EMK_GUARD_AGENT_PORT,       /* ... has a server on this machine */
    EMK_GUARD_PRELOAD,          /* libraries were put before all others */
    EMK_GUARD_FOREIGN_CODE,     /* executable memory that is no library's */
    EMK_GUARD_WRITABLE_CODE,    /* memory that is writable and executable */
    EMK_GUARD_HOOKED_CALL,      /* a call of ours, or of an engine, leads elsewhere */
    EMK_GUARD_PATCHED_FUNCTION, /* a function of libc or an engine differs from its file */
    EMK_GUARD_PATCHED_SELF,     /* our own code differs from its file */
    EMK_GUARD_CHANGED_SELF,     /* our own code changed since the guard was made */
    EMK_GUARD_ROOTED,           /* traces of root or jailbreak tools */
    EMK_GUARD_EMULATOR,         /* an emulator or a virtual machine */
    EMK_GUARD_REPACKAGED,       /* the app is signed by somebody else */
    EMK_GUARD_INSTALLER,        /* the app did not come from where it should */
    EMK_GUARD_DEVELOPER,        /* debuggable app, developer settings, remote debugging */
    EMK_GUARD_CLOCK_BACK,       /* the clock was set back */
    EMK_GUARD_CLOCK_JUMP,       /* the clock was set forward by much */
    EMK_GUARD_SCREEN,           /* the screen is captured or mirrored */
    EMK_GUARD_ACCESSIBILITY,    /* an accessibility service that is not on the allow list */
    EMK_GUARD_MEMORY_READ,      /* somebody opened the file of this process's memory, or its map */
    EMK_GUARD_SIGNALS
} emk_guard_signal;

typedef enum emk_guard_family {
    EMK_GUARD_FAMILY_GUARD,
    EMK_GUARD_FAMILY_DEBUGGER,
    EMK_GUARD_FAMILY_AGENT,
    EMK_GUARD_FAMILY_HOOK,
    EMK_GUARD_FAMILY_INTEGRITY,
    EMK_GUARD_FAMILY_DEVICE,
    EMK_GUARD_FAMILY_PACKAGE,
    EMK_GUARD_FAMILY_CLOCK,
    EMK_GUARD_FAMILY_SCREEN
} emk_guard_family;

/* How sure a finding is. */
typedef enum emk_guard_confidence {
    EMK_GUARD_HINT = 1,   /* honest devices show it too: counts together with others */
    EMK_GUARD_LIKELY = 2, /* honest explanations are rare, and can be put on the allow list */
    EMK_GUARD_CERTAIN = 3 /* there is no honest explanation outside development */
} emk_guard_confidence;

typedef struct emk_guard_signal_info {
    const char *name; /* "tracer": stable */
    emk_guard_family family;
    const char *sees;
    const char *evaded_by;
    const char *looks_like; /* what honest thing resembles it */
    const char *advice;     /* for people: what to do about it */
} emk_guard_signal_info;

/* The row of a signal; lent, static.  NULL for a number that is none. */
const emk_guard_signal_info *emk_guard_signal_about(emk_guard_signal s);
/* An error's `what` when a call refuses because of it ("guard: ..."; its `where` is the signal's
 * number); lent, static. */
const char *emk_guard_refusal(emk_guard_signal s);

/* How much it matters; the minimum of a policy's min_guard and the app's own choice rules. */
typedef enum emk_guard_level {
    EMK_GUARD_OFF = 0,
    EMK_GUARD_REPORT = 1,
    EMK_GUARD_CAREFUL = 2,
    EMK_GUARD_STRICT = 3
} emk_guard_level;

/* What to do, from harmless to hard. */
typedef enum emk_guard_action {
    EMK_GUARD_DO_NOTHING = 0,
    EMK_GUARD_DO_REPORT = 1,  /* tell the server, nothing else */
    EMK_GUARD_DO_DEGRADE = 2, /* short leases */
    EMK_GUARD_DO_REFUSE = 3,  /* nothing new is opened */
    EMK_GUARD_DO_WIPE = 4     /* what is open is wiped */
} emk_guard_action;

/* What only the platform's own language can find out: filled in by the app or a binding.
 * Functions write their outputs only on EMK_OK; a NULL one is an ability that is absent, which
 * is no finding.  EMK_E_NOT_FOUND: there is no such thing here. */
#define EMK_GUARD_HAS_DEVELOPER_SETTINGS 1u
#define EMK_GUARD_HAS_DEBUGGABLE_APP     2u
#define EMK_GUARD_HAS_REMOTE_DEBUGGING   4u
#define EMK_GUARD_HAS_SCREEN_CAPTURE     8u
#define EMK_GUARD_HAS_ROOT_TRACES        16u
#define EMK_GUARD_HAS_EMULATOR_TRACES    32u
typedef struct emk_guard_platform_ops {
    uint32_t size; /* sizeof of the writer's table: it can grow at its end */
    /* SHA-256 of the certificate the app is signed with. */
    emk_status (*signer)(void *self, uint8_t digest[EMK_GUARD_HASH_LEN], emk_error *e);
    /* Fills name (cap bytes, with a zero) with who installed the app: "com.android.vending". */
    emk_status (*installer)(void *self, char *name, size_t cap, emk_error *e);
    /* Bits EMK_GUARD_HAS_... */
    emk_status (*state)(void *self, uint32_t *bits, emk_error *e);
    /* Calls each(each_self, name) for every accessibility service that is switched on. */
    emk_status (*accessibility)(void *self, void (*each)(void *each_self, const char *name),
                                void *each_self, emk_error *e);
} emk_guard_platform_ops;

typedef struct emk_guard_platform {
    const emk_guard_platform_ops *ops; /* NULL: none */
    void *self;
} emk_guard_platform;

typedef struct emk_guard_config {
    const emk_crypto *crypto; /* kept */
    emk_guard_level level;
    /* A development build: debuggers, sanitizers and profilers are hints, never more. */
    bool development;
    emk_guard_platform platform; /* its self is kept */
    /* SHA-256 of the certificate the app must be signed with, and who may have installed it
     * (names one after the other); both only where the platform can tell.  NULL: not checked. */
    const uint8_t *signer; /* EMK_GUARD_HASH_LEN bytes; copied */
    const char *const *installers;
    size_t n_installers;
    /* What is allowed to be there: file names of libraries ("libjemalloc.so.2"), accessibility
     * services.  Copied. */
    const char *const *allowed;
    size_t n_allowed;
    /* Files of inference engines whose calls are watched like our own ("libonnxruntime.so");
     * a name matches what begins with it.  Copied. */
    const char *const *engines;
    size_t n_engines;
    /* EMK_GUARD_DO_... for single signals instead of what the level says; 0: as the level says,
     * EMK_GUARD_DO_NOTHING cannot be chosen here: use EMK_GUARD_DO_REPORT. */
    uint8_t overrides[EMK_GUARD_SIGNALS];
} emk_guard_config;

typedef struct emk_guard emk_guard;

/* Gives a guard that has done its first round; free with emk_guard_free.  What it finds is no
 * failure.  EMK_E_USAGE, EMK_E_LIMIT, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_guard_new(const emk_guard_config *config, emk_guard **out,
                         emk_error *e) EMK_MUST_CHECK;
/* Ends its thread.  NULL is fine. */
void emk_guard_free(emk_guard *g);

/* Looks with every detector: at most 5 ms on an ordinary process. */
void emk_guard_round(emk_guard *g);
/* Looks with one detector, in a random order, and at a random piece of our own code: at most
 * half a millisecond.  Detectors take turns. */
void emk_guard_probe(emk_guard *g);
/* From now on a thread probes at random times, twice a second on average, dealing the
 * detectors like cards: each comes once before any comes again.  It also looks at once when
 * somebody opens this process's memory.  Twice is fine.  EMK_E_NO_MEMORY, EMK_E_IO. */
emk_status emk_guard_start(emk_guard *g, emk_error *e) EMK_MUST_CHECK;

/* Calls fn, on whatever thread looked, after each look that saw something; up to
 * EMK_GUARD_LISTENERS_MAX of them.  fn must not call tell, untell, round, probe or free; keeps
 * self until untell, which waits for a call that is going on.  EMK_E_LIMIT. */
#define EMK_GUARD_LISTENERS_MAX 8u
emk_status emk_guard_tell(emk_guard *g, void (*fn)(void *self), void *self,
                          emk_error *e) EMK_MUST_CHECK;
void emk_guard_untell(emk_guard *g, void *self);

/* The level it was made with. */
emk_guard_level emk_guard_level_of(const emk_guard *g);

typedef struct emk_guard_finding {
    emk_guard_signal signal;
    emk_guard_confidence confidence; /* the highest so far */
    uint32_t n_seen;                 /* looks that saw it */
    uint64_t first_s, last_s;        /* seconds since the guard was made */
    char detail[EMK_GUARD_DETAIL_MAX];
} emk_guard_finding;

typedef struct emk_guard_report {
    emk_guard_level level;
    emk_guard_action action; /* what the findings amount to */
    uint32_t n_looks;        /* so far */
    uint32_t n_findings;
    emk_guard_finding findings[EMK_GUARD_SIGNALS]; /* n_findings of them, by signal */
    uint8_t transcript[EMK_GUARD_HASH_LEN];
    uint8_t measurement[EMK_GUARD_HASH_LEN]; /* SHA-256 of our own code; zeros: unknown */
} emk_guard_report;

/* Fills *out with the state of now. */
void emk_guard_report_get(emk_guard *g, emk_guard_report *out);
/* What the findings so far amount to, under the guard's level or a policy's, whichever is
 * higher. */
emk_guard_action emk_guard_judge(emk_guard *g, emk_guard_level at_least);
/* The same; fills *why with the signal that weighs most, when there is one. */
emk_guard_action emk_guard_judge_why(emk_guard *g, emk_guard_level at_least, emk_guard_signal *why);

/* What a key can be bound to: fills `out` with a hash that is the same in every process of this
 * program in which nothing was found that refuses at `level`, and differs otherwise.  At
 * EMK_GUARD_STRICT the measurement of our own code is in it as well, so that it differs after an
 * update, too.  EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_guard_binding(emk_guard *g, emk_guard_level level, uint8_t out[EMK_GUARD_HASH_LEN],
                             emk_error *e) EMK_MUST_CHECK;

/* Advances the transcript by bytes from outside (at most EMK_GUARD_NONCE_MAX): what is reported
 * after a nonce of the server's was not recorded before it.  EMK_E_LIMIT, EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_guard_bind(emk_guard *g, emk_span nonce, emk_error *e) EMK_MUST_CHECK;

/* Hardening of this process, for as long as it lives.  Which took effect is in *done.  Make the
 * guard first: an undumpable process that is not root's may no longer watch its own memory file. */
#define EMK_GUARD_HARDEN_UNDUMPABLE \
    1u /* no core file, no attaching by other processes of this user */
#define EMK_GUARD_HARDEN_NO_PRIVILEGES 2u /* exec gains no rights */
#define EMK_GUARD_HARDEN_NO_NEW_CODE   4u /* memory cannot become executable (Linux 6.3) */
#define EMK_GUARD_HARDEN_NO_TRACING                                \
    8u /* a seccomp filter: no ptrace, no reading of other memory, \
          no performance counters by this process */
#define EMK_GUARD_HARDEN_ALL 15u
emk_status emk_guard_harden(unsigned what, unsigned *done, emk_error *e) EMK_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
