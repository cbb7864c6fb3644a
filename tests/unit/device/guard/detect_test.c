/* Detectors against a made-up system: a folder before every path. */
#include "device/guard/internal.h"
#include "tests/support/test.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct world {
    emk_crypto *crypto;
    emk_guard_rules rules;
    emk_guard_platform platform;
    emk_guard_memory memory;
    emk_guard_look look;
} world;

static void make_folders(const char *path)
{
    char part[2 * EMK_ENV_PATH_MAX];

    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        (void)mkdir(part, 0700);
        *p = '/';
    }
}

static void put_file(const world *w, const char *path, const char *text)
{
    char full[2 * EMK_ENV_PATH_MAX];
    FILE *f;

    snprintf(full, sizeof full, "%s%s", w->look.env.root, path);
    make_folders(full);
    f = fopen(full, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
    world *w = test_calloc(1, sizeof *w);

    assert_non_null(w);
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, NULL), NULL);
    w->rules.level = EMK_GUARD_STRICT;
    snprintf(w->look.env.root, sizeof w->look.env.root, "/tmp/emk-test-guard-XXXXXX");
    assert_non_null(mkdtemp(w->look.env.root));
    w->look.crypto = w->crypto;
    w->look.rules = &w->rules;
    w->look.platform = &w->platform;
    w->look.memory = &w->memory;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    char command[2 * EMK_ENV_PATH_MAX];

    snprintf(command, sizeof command, "rm -rf '%s'", w->look.env.root);
    (void)!system(command);
    emk_crypto_free(w->crypto);
    test_free(w);
    return 0;
}

static unsigned seen(const world *w, emk_guard_signal s)
{
    return w->look.seen[s];
}

static void looks_with(world *w, const emk_detector *d)
{
    memset(w->look.seen, 0, sizeof w->look.seen);
    d->look(&w->look);
}

static void sees_a_tracer_by_its_number(void **state)
{
    world *w = *state;

    put_file(w, "/proc/self/status", "Name:\tx\nTracerPid:\t0\n");
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_TRACER), 0);
    put_file(w, "/proc/self/status", "Name:\tx\nTracerPid:\t4711\n");
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_TRACER), EMK_GUARD_CERTAIN);
}

static void takes_a_tracer_as_a_hint_in_development(void **state)
{
    world *w = *state;

    w->rules.development = true;
    put_file(w, "/proc/self/status", "TracerPid:\t1\n");
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_TRACER), EMK_GUARD_HINT);
}

static void says_when_it_cannot_look(void **state)
{
    world *w = *state;

    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
    put_file(w, "/proc/self/status", "nothing of use\n");
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
    looks_with(w, &emk_detect_maps);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

static void finds_nothing_in_an_ordinary_map(void **state)
{
    world *w = *state;

    put_file(w, "/proc/self/maps",
             "55d0c000-55d0d000 r-xp 00001000 fe:00 123   /usr/bin/app\n"
             "7f000000-7f001000 rw-p 00000000 00:00 0 \n"
             "7f001000-7f002000 r-xp 00026000 fe:00 99    /usr/lib/x86_64-linux-gnu/libc.so.6\n"
             "7ffd0000-7ffd1000 rw-p 00000000 00:00 0     [stack]\n"
             "7ffd2000-7ffd3000 r-xp 00000000 00:00 0     [vdso]\n"
             "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n");
    looks_with(w, &emk_detect_maps);
    for (unsigned i = 0; i < EMK_GUARD_SIGNALS; i++)
        assert_int_equal(seen(w, (emk_guard_signal)i), 0);
}

static void sees_agents_and_foreign_code_in_the_map(void **state)
{
    static const struct {
        const char *line;
        emk_guard_signal signal;
        emk_guard_confidence confidence;
    } rows[] = {
        {"7f00-7f01 r--p 0 fe:00 1 /usr/lib/frida/64/frida-agent.so\n", EMK_GUARD_AGENT_MAP,
         EMK_GUARD_CERTAIN},
        {"7f00-7f01 r--p 0 fe:00 1 /data/app/lib/LSPosed.so\n", EMK_GUARD_AGENT_MAP,
         EMK_GUARD_CERTAIN},
        {"7f00-7f01 r-xp 0 00:01 1 /memfd:jit (deleted)\n", EMK_GUARD_FOREIGN_CODE,
         EMK_GUARD_LIKELY},
        {"7f00-7f01 r-xp 0 fe:00 1 /tmp/hook.so\n", EMK_GUARD_FOREIGN_CODE, EMK_GUARD_LIKELY},
        {"7f00-7f01 r-xp 0 fe:00 1 /usr/lib/libc.so.6 (deleted)\n", EMK_GUARD_FOREIGN_CODE,
         EMK_GUARD_HINT},
        {"7f00-7f01 r-xp 0 00:00 0 \n", EMK_GUARD_FOREIGN_CODE, EMK_GUARD_HINT},
        {"7f00-7f01 rwxp 0 00:00 0     [stack]\n", EMK_GUARD_FOREIGN_CODE, EMK_GUARD_LIKELY},
        {"7f00-7f01 rwxp 0 00:00 0 \n", EMK_GUARD_WRITABLE_CODE, EMK_GUARD_LIKELY},
        {"what is this\n", EMK_GUARD_BLIND, EMK_GUARD_HINT},
    };
    world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_file(w, "/proc/self/maps", rows[i].line);
        looks_with(w, &emk_detect_maps);
        assert_int_equal(seen(w, rows[i].signal), rows[i].confidence);
    }
}

static void leaves_what_is_on_the_allow_list(void **state)
{
    world *w = *state;

    snprintf(w->rules.allowed[0], EMK_GUARD_NAME_MAX, "hook.so");
    w->rules.n_allowed = 1;
    put_file(w, "/proc/self/maps", "7f00-7f01 r-xp 0 fe:00 1 /tmp/hook.so\n");
    looks_with(w, &emk_detect_maps);
    assert_int_equal(seen(w, EMK_GUARD_FOREIGN_CODE), 0);
    put_file(w, "/etc/ld.so.preload", "# a comment\n/opt/hook.so\n");
    put_file(w, "/proc/self/environ", "");
    looks_with(w, &emk_detect_preload);
    assert_int_equal(seen(w, EMK_GUARD_PRELOAD), 0);
}

static void sees_what_is_preloaded(void **state)
{
    world *w = *state;
    char path[2 * EMK_ENV_PATH_MAX];
    static const char environment[] = "HOME=/root\0LD_PRELOAD=/opt/a.so:/opt/hook.so\0X=";
    FILE *f;

    put_file(w, "/proc/self/environ", "HOME=/root");
    looks_with(w, &emk_detect_preload);
    assert_int_equal(seen(w, EMK_GUARD_PRELOAD), 0);
    snprintf(path, sizeof path, "%s/proc/self/environ", w->look.env.root);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(environment, 1, sizeof environment, f), sizeof environment);
    assert_int_equal(fclose(f), 0);
    looks_with(w, &emk_detect_preload);
    assert_int_equal(seen(w, EMK_GUARD_PRELOAD), EMK_GUARD_LIKELY);
    assert_non_null(strstr(w->look.details[EMK_GUARD_PRELOAD], "a.so"));
}

static void sees_an_agents_threads_and_pipes(void **state)
{
    world *w = *state;
    char path[2 * EMK_ENV_PATH_MAX];

    put_file(w, "/proc/self/task/1/comm", "app\n");
    looks_with(w, &emk_detect_threads);
    assert_int_equal(seen(w, EMK_GUARD_AGENT_THREAD), 0);
    put_file(w, "/proc/self/task/2/comm", "gum-js-loop\n");
    looks_with(w, &emk_detect_threads);
    assert_int_equal(seen(w, EMK_GUARD_AGENT_THREAD), EMK_GUARD_CERTAIN);

    put_file(w, "/proc/self/fd/x", "");
    snprintf(path, sizeof path, "%s/proc/self/fd/7", w->look.env.root);
    assert_int_equal(symlink("/memfd:frida-agent-64.so (deleted)", path), 0);
    looks_with(w, &emk_detect_pipes);
    assert_int_equal(seen(w, EMK_GUARD_AGENT_PIPE), EMK_GUARD_CERTAIN);
}

static void looks_for_root_tools_on_android_only(void **state)
{
    world *w = *state;

    put_file(w, "/system/xbin/su", "");
    looks_with(w, &emk_detect_root);
    assert_int_equal(seen(w, EMK_GUARD_ROOTED), 0);
    put_file(w, "/system/bin/app_process64", "");
    put_file(w, "/proc/self/mounts", "tmpfs / tmpfs rw 0 0\n");
    looks_with(w, &emk_detect_root);
    assert_int_equal(seen(w, EMK_GUARD_ROOTED), EMK_GUARD_LIKELY);
    put_file(w, "/proc/self/mounts", "magisk /sbin/.magisk tmpfs rw 0 0\n");
    looks_with(w, &emk_detect_root);
    assert_int_equal(seen(w, EMK_GUARD_ROOTED), EMK_GUARD_CERTAIN);
}

/* An Android phone, with one thing on it. */
static unsigned phone_with(world *w, const char *path, const char *text, emk_guard_signal s)
{
    char full[2 * EMK_ENV_PATH_MAX];

    put_file(w, "/system/bin/app_process64", "");
    put_file(w, "/proc/self/mounts", "/dev/block/dm-0 / ext4 ro 0 0\n");
    put_file(w, path, text);
    looks_with(w, s == EMK_GUARD_EMULATOR ? &emk_detect_emulator : &emk_detect_root);
    snprintf(full, sizeof full, "%s%s", w->look.env.root, path);
    assert_int_equal(remove(full), 0);
    return seen(w, s);
}

static void sees_root_tools_by_files_mounts_and_properties(void **state)
{
    static const struct {
        const char *path, *text;
        unsigned confidence;
    } rows[] = {
        {"/system/build.prop", "ro.build.id=X\nro.secure=1\nro.debuggable=0\n", 0},
        {"/system/build.prop", "ro.secure=0\n", EMK_GUARD_LIKELY},
        {"/default.prop", "service.adb.root=1\n", EMK_GUARD_LIKELY},
        {"/vendor/build.prop", "ro.build.tags=test-keys\n", EMK_GUARD_HINT},
        {"/system/build.prop", "ro.debuggable=1\n", EMK_GUARD_HINT},
        {"/system/build.prop", "ro.boot.verifiedbootstate=orange\n", EMK_GUARD_HINT},
        {"/system/build.prop", "ro.dalvik.vm.native.bridge=libzygisk_loader.so\n",
         EMK_GUARD_CERTAIN},
        {"/sys/fs/selinux/enforce", "1\n", 0},
        {"/sys/fs/selinux/enforce", "0\n", EMK_GUARD_LIKELY},
        {"/data/adb/magisk", "", EMK_GUARD_LIKELY},
        {"/data/adb/ksu", "", EMK_GUARD_LIKELY},
        {"/data/adb/modules/zygisksu", "", EMK_GUARD_LIKELY},
        {"/proc/self/mounts", "KSU /data/adb/modules overlay ro 0 0\n", EMK_GUARD_CERTAIN},
        {"/proc/self/mounts", "APatch /system/bin overlay ro 0 0\n", EMK_GUARD_CERTAIN},
        {"/proc/self/mounts", "tmpfs /debug_ramdisk/zygisk tmpfs rw 0 0\n", EMK_GUARD_CERTAIN},
        {"/proc/self/mounts", "tmpfs / tmpfs rw 0 0\n", 0},
    };
    world *w = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(phone_with(w, rows[i].path, rows[i].text, EMK_GUARD_ROOTED),
                         rows[i].confidence);
    assert_int_equal(phone_with(w, "/system/build.prop", "ro.kernel.qemu=1\n", EMK_GUARD_EMULATOR),
                     EMK_GUARD_LIKELY);
}

static void tells_a_virtual_machine_from_an_emulated_phone(void **state)
{
    world *w = *state;

    looks_with(w, &emk_detect_emulator);
    assert_int_equal(seen(w, EMK_GUARD_EMULATOR), 0);
    put_file(w, "/sys/class/dmi/id/product_name", "KVM Virtual Machine\n");
    looks_with(w, &emk_detect_emulator);
    assert_int_equal(seen(w, EMK_GUARD_EMULATOR), EMK_GUARD_HINT);
    put_file(w, "/dev/goldfish_pipe", "");
    looks_with(w, &emk_detect_emulator);
    assert_int_equal(seen(w, EMK_GUARD_EMULATOR), EMK_GUARD_LIKELY);
}

static void sees_the_clock_set_back_but_not_a_small_correction(void **state)
{
    world *w = *state;

    w->memory.boot_ns = emk_env_boot_ns();
    w->memory.wall_s = (uint64_t)time(NULL) + 200;
    looks_with(w, &emk_detect_clock);
    assert_int_equal(seen(w, EMK_GUARD_CLOCK_BACK), 0);
    w->memory.wall_s = (uint64_t)time(NULL) + 400;
    looks_with(w, &emk_detect_clock);
    assert_int_equal(seen(w, EMK_GUARD_CLOCK_BACK), EMK_GUARD_LIKELY);
    w->memory.wall_s = (uint64_t)time(NULL) - 100000;
    looks_with(w, &emk_detect_clock);
    assert_int_equal(seen(w, EMK_GUARD_CLOCK_JUMP), EMK_GUARD_HINT);
}

/* The machine slept, or the process was stopped: both clocks went on. */
static void a_long_sleep_is_no_clock_game(void **state)
{
    const uint64_t hours = 30 * UINT64_C(3600);
    world *w = *state;

    /* As if the guard was made so long ago; machines that run for less wrap, as they should. */
    w->memory.boot_ns = emk_env_boot_ns() - hours * 1000000000u;
    w->memory.wall_s = (uint64_t)time(NULL) - hours;
    looks_with(w, &emk_detect_clock);
    assert_int_equal(seen(w, EMK_GUARD_CLOCK_BACK), 0);
    assert_int_equal(seen(w, EMK_GUARD_CLOCK_JUMP), 0);
}

static void is_blind_where_files_are_cut_short(void **state)
{
    static const char *const cut[] = {"", "Name:\tx\nTracerP", "Name:\tx"};
    world *w = *state;

    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        put_file(w, "/proc/self/status", cut[i]);
        looks_with(w, &emk_detect_tracer);
        assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
        assert_int_equal(seen(w, EMK_GUARD_TRACER), 0);
    }
    put_file(w, "/proc/self/maps", "7f00-7f01 r--p 0 fe:00 1 /usr/lib/x.so\n7f01-7f0");
    looks_with(w, &emk_detect_maps);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

static void takes_a_line_without_an_end(void **state)
{
    char path[2 * EMK_ENV_PATH_MAX];
    world *w = *state;
    FILE *f;

    put_file(w, "/proc/self/maps", "");
    snprintf(path, sizeof path, "%s/proc/self/maps", w->look.env.root);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs("7f00-7f01 r--p 0 fe:00 1 /", f) >= 0);
    for (unsigned i = 0; i < 1u << 20; i++)
        assert_int_equal(fputc('a', f), 'a');
    assert_int_equal(fclose(f), 0);
    looks_with(w, &emk_detect_maps);
    assert_int_equal(seen(w, EMK_GUARD_AGENT_MAP), 0);
}

static void cuts_a_map_of_a_hundred_thousand_lines_and_says_so(void **state)
{
    char path[2 * EMK_ENV_PATH_MAX];
    world *w = *state;
    FILE *f;

    put_file(w, "/proc/self/maps", "");
    snprintf(path, sizeof path, "%s/proc/self/maps", w->look.env.root);
    f = fopen(path, "w");
    assert_non_null(f);
    for (unsigned i = 0; i < 100000; i++)
        assert_true(fputs("7f00-7f01 r--p 0 fe:00 1 /usr/lib/x.so\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    looks_with(w, &emk_detect_maps);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
    assert_int_equal(seen(w, EMK_GUARD_AGENT_MAP), 0);
}

static void is_blind_where_a_folder_stands_for_a_file_or_a_link_leads_to_itself(void **state)
{
    char path[2 * EMK_ENV_PATH_MAX];
    world *w = *state;

    put_file(w, "/proc/self/status/x", "");
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
    snprintf(path, sizeof path, "%s/proc/self/maps", w->look.env.root);
    assert_int_equal(symlink("maps", path), 0);
    looks_with(w, &emk_detect_maps);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

static void every_detector_ends_without_a_proc(void **state)
{
    world *w = *state;

    for (size_t i = 0; i < emk_n_detectors; i++) {
        looks_with(w, emk_detectors[i]);
        for (unsigned s = 0; s < EMK_GUARD_SIGNALS; s++)
            assert_true(seen(w, (emk_guard_signal)s) < EMK_GUARD_LIKELY || s == EMK_GUARD_PRELOAD ||
                        s == EMK_GUARD_HOOKED_CALL || s == EMK_GUARD_AGENT_PORT ||
                        s == EMK_GUARD_CLOCK_BACK || s == EMK_GUARD_SINGLE_STEP);
    }
}

static void cuts_an_enormous_file_and_says_so(void **state)
{
    world *w = *state;
    char path[2 * EMK_ENV_PATH_MAX];

    put_file(w, "/proc/self/status", "Name: x\n");
    snprintf(path, sizeof path, "%s/proc/self/status", w->look.env.root);
    /* A hole of zeros: an endless run of empty lines. */
    assert_int_equal(truncate(path, 1 << 30), 0);
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

static void stops_at_its_deadline(void **state)
{
    world *w = *state;

    put_file(w, "/proc/self/maps", "what\n");
    w->look.env.deadline_ns = 1;
    put_file(w, "/proc/self/status", "Name: x\nTracerPid: 0\n");
    looks_with(w, &emk_detect_pipes);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

static void does_not_wait_for_a_fifo(void **state)
{
    world *w = *state;
    char path[2 * EMK_ENV_PATH_MAX];

    put_file(w, "/proc/self/x", "");
    snprintf(path, sizeof path, "%s/proc/self/status", w->look.env.root);
    assert_int_equal(mkfifo(path, 0600), 0);
    looks_with(w, &emk_detect_tracer);
    assert_int_equal(seen(w, EMK_GUARD_BLIND), EMK_GUARD_HINT);
}

/* A platform that says what the test wants. */
typedef struct fake_platform {
    uint8_t digest[EMK_GUARD_HASH_LEN];
    uint32_t bits;
} fake_platform;

static emk_status fake_signer(void *self, uint8_t digest[EMK_GUARD_HASH_LEN], emk_error *e)
{
    const fake_platform *p = self;

    (void)e;
    memcpy(digest, p->digest, EMK_GUARD_HASH_LEN);
    return EMK_OK;
}

static emk_status fake_installer(void *self, char *name, size_t cap, emk_error *e)
{
    (void)self;
    (void)e;
    snprintf(name, cap, "com.example.other");
    return EMK_OK;
}

static emk_status fake_state(void *self, uint32_t *bits, emk_error *e)
{
    const fake_platform *p = self;

    (void)e;
    *bits = p->bits;
    return EMK_OK;
}

static emk_status fake_accessibility(void *self, void (*each)(void *each_self, const char *name),
                                     void *each_self, emk_error *e)
{
    (void)self;
    (void)e;
    each(each_self, "com.example.reader");
    return EMK_OK;
}

static const emk_guard_platform_ops fake_ops = {sizeof fake_ops, fake_signer, fake_installer,
                                                fake_state, fake_accessibility};

static void asks_the_platform_about_the_app(void **state)
{
    world *w = *state;
    fake_platform p = {.bits = EMK_GUARD_HAS_DEBUGGABLE_APP};

    w->platform = (emk_guard_platform){&fake_ops, &p};
    looks_with(w, &emk_detect_package);
    assert_int_equal(seen(w, EMK_GUARD_REPACKAGED), 0);
    assert_int_equal(seen(w, EMK_GUARD_INSTALLER), 0);
    assert_int_equal(seen(w, EMK_GUARD_DEVELOPER), EMK_GUARD_LIKELY);

    w->rules.has_signer = true;
    w->rules.signer[0] = 1;
    w->rules.n_installers = 1;
    snprintf(w->rules.installers[0], EMK_GUARD_NAME_MAX, "com.example.store");
    looks_with(w, &emk_detect_package);
    assert_int_equal(seen(w, EMK_GUARD_REPACKAGED), EMK_GUARD_CERTAIN);
    assert_int_equal(seen(w, EMK_GUARD_INSTALLER), EMK_GUARD_HINT);
    p.digest[0] = 1;
    looks_with(w, &emk_detect_package);
    assert_int_equal(seen(w, EMK_GUARD_REPACKAGED), 0);
}

static void asks_the_platform_about_the_screen(void **state)
{
    world *w = *state;
    fake_platform p = {.bits = EMK_GUARD_HAS_SCREEN_CAPTURE};

    w->platform = (emk_guard_platform){&fake_ops, &p};
    looks_with(w, &emk_detect_screen);
    assert_int_equal(seen(w, EMK_GUARD_SCREEN), EMK_GUARD_HINT);
    assert_int_equal(seen(w, EMK_GUARD_ACCESSIBILITY), EMK_GUARD_HINT);
    w->rules.n_allowed = 1;
    snprintf(w->rules.allowed[0], EMK_GUARD_NAME_MAX, "com.example.reader");
    looks_with(w, &emk_detect_screen);
    assert_int_equal(seen(w, EMK_GUARD_ACCESSIBILITY), 0);
}

#define rule_in_a_world(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return EMK_RUN(
        rule_in_a_world(sees_a_tracer_by_its_number),
        rule_in_a_world(takes_a_tracer_as_a_hint_in_development),
        rule_in_a_world(says_when_it_cannot_look),
        rule_in_a_world(finds_nothing_in_an_ordinary_map),
        rule_in_a_world(sees_agents_and_foreign_code_in_the_map),
        rule_in_a_world(leaves_what_is_on_the_allow_list), rule_in_a_world(sees_what_is_preloaded),
        rule_in_a_world(sees_an_agents_threads_and_pipes),
        rule_in_a_world(looks_for_root_tools_on_android_only),
        rule_in_a_world(tells_a_virtual_machine_from_an_emulated_phone),
        rule_in_a_world(sees_the_clock_set_back_but_not_a_small_correction),
        rule_in_a_world(sees_root_tools_by_files_mounts_and_properties),
        rule_in_a_world(a_long_sleep_is_no_clock_game),
        rule_in_a_world(is_blind_where_files_are_cut_short),
        rule_in_a_world(takes_a_line_without_an_end),
        rule_in_a_world(cuts_a_map_of_a_hundred_thousand_lines_and_says_so),
        rule_in_a_world(is_blind_where_a_folder_stands_for_a_file_or_a_link_leads_to_itself),
        rule_in_a_world(every_detector_ends_without_a_proc),
        rule_in_a_world(cuts_an_enormous_file_and_says_so), rule_in_a_world(stops_at_its_deadline),
        rule_in_a_world(does_not_wait_for_a_fifo), rule_in_a_world(asks_the_platform_about_the_app),
        rule_in_a_world(asks_the_platform_about_the_screen));
}
