/* What is mapped executable.  Three things are looked for: the names of known instrumentation
 * agents, code that is writable, and code that is no library's (anonymous, a memory file, a
 * deleted file, a file in a folder that everybody may write to).
 * Evaded by agents that rename themselves and load from where libraries are; what they then do
 * to calls and code is for detect_calls.c and detect_code.c.
 * Honest look-alikes: language runtimes that compile while running (JavaScript, Java, LuaJIT),
 * which is why anonymous code is a hint only. */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

#define MAPS "/proc/self/maps"

static const char *const agent_words[] = {"frida",     "gum-js",  "linjector", "xposed", "lsposed",
                                          "substrate", "libriru", "zygisk",    "dobby",  NULL};
static const char *const open_folders[] = {"/tmp/",    "/var/tmp/", "/dev/shm/", "/data/local/tmp/",
                                           "/sdcard/", NULL};
/* What the kernel itself maps. */
static const char *const kernel_names[] = {"[vdso]",    "[vsyscall]", "[uprobes]",
                                           "[sigpage]", "[vectors]",  NULL};

static bool begins_with_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strncmp(text, *words, strlen(*words)) == 0)
            return true;
    }
    return false;
}

/* A program that is started from such a folder, for a trial, has its libraries beside it. */
static bool is_beside_the_program(const emk_guard_look *l, const char *path)
{
    char program[EMK_ENV_PATH_MAX];
    size_t len;

    if (emk_env_link(&l->env, "/proc/self/exe", program, sizeof program, NULL) != EMK_OK)
        return false;
    len = (size_t)(emk_guard_base_name(program) - program);
    return len > 1 && strncmp(path, program, len) == 0;
}

static void look_at_path(emk_guard_look *l, const char *path)
{
    static const char memory_file[] = "/memfd:";
    static const char deleted[] = " (deleted)";
    const size_t len = strlen(path);
    const bool is_deleted =
        len > sizeof deleted - 1 && strcmp(path + len - (sizeof deleted - 1), deleted) == 0;

    if (strncmp(path, memory_file, sizeof memory_file - 1) == 0)
        emk_guard_saw(l, EMK_GUARD_FOREIGN_CODE, EMK_GUARD_LIKELY, path);
    else if (begins_with_one_of(path, open_folders) && !is_beside_the_program(l, path))
        emk_guard_saw(l, EMK_GUARD_FOREIGN_CODE, EMK_GUARD_LIKELY, path);
    else if (is_deleted) /* an upgrade while we run looks the same */
        emk_guard_saw(l, EMK_GUARD_FOREIGN_CODE, EMK_GUARD_HINT, path);
}

static void look_at_code(emk_guard_look *l, const char *perm, const char *path)
{
    if (emk_guard_is_allowed(l, path))
        return;
    if (perm[1] == 'w')
        emk_guard_saw(l, EMK_GUARD_WRITABLE_CODE,
                      emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                      path[0] ? path : "anonymous memory");
    if (path[0] == '/')
        look_at_path(l, path);
    else if (path[0] == 0 || strncmp(path, "[anon", 5) == 0 || strcmp(path, "[heap]") == 0 ||
             strncmp(path, "[stack", 6) == 0)
        emk_guard_saw(l, EMK_GUARD_FOREIGN_CODE,
                      path[0] == '[' && path[1] != 'a' ? EMK_GUARD_LIKELY : EMK_GUARD_HINT,
                      path[0] ? path : "anonymous memory");
    else if (!begins_with_one_of(path, kernel_names))
        emk_guard_saw(l, EMK_GUARD_FOREIGN_CODE, EMK_GUARD_HINT, path);
}

/* "start-end perm offset dev inode   path" */
static bool read_line(void *self, const char *line)
{
    emk_guard_look *l = self;
    char perm[5] = "";
    int path_at = -1;

    if (sscanf(line, "%*x-%*x %4s %*x %*x:%*x %*u %n", perm, &path_at) != 1 || path_at < 0) {
        emk_guard_blind(l, EMK_E_FORMAT, MAPS);
        return false;
    }
    if (emk_guard_find_word(line + path_at, agent_words) &&
        !emk_guard_is_allowed(l, line + path_at))
        emk_guard_saw(l, EMK_GUARD_AGENT_MAP, EMK_GUARD_CERTAIN, line + path_at);
    if (perm[2] == 'x')
        look_at_code(l, perm, line + path_at);
    return true;
}

static void look(emk_guard_look *l)
{
    emk_status st = emk_env_each_line(&l->env, MAPS, read_line, l, NULL);

    l->memory->own_maps++;
    if (st != EMK_OK)
        emk_guard_blind(l, st, MAPS);
}

const emk_detector emk_detect_maps = {"maps", look, false};
