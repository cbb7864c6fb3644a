#include "cli/os_terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define STEP 4096u

bool emk_cli_stderr_is_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

bool emk_cli_stdout_is_terminal(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}

static bool read_byte(int fd, uint8_t *byte)
{
    ssize_t n;

    do {
        n = read(fd, byte, 1);
    } while (n < 0 && errno == EINTR);
    return n == 1;
}

/* Reads a line byte by byte: in this mode the terminal hands over control characters, so
 * that giving up does not leave it without echo. */
static emk_status read_line(int fd, uint8_t *line, size_t cap, size_t *len, emk_error *e)
{
    size_t n = 0;
    uint8_t byte = 0;

    for (;;) {
        if (!read_byte(fd, &byte) || byte == 3 || byte == 4)
            return emk_fail(e, EMK_E_USAGE, "passphrase: given up", 0);
        if (byte == '\r' || byte == '\n')
            break;
        if (byte == 8 || byte == 127) {
            n -= n > 0;
        } else if (byte == 21) {
            n = 0;
        } else {
            if (n == cap)
                return emk_fail(e, EMK_E_LIMIT, "passphrase: too long", cap);
            line[n++] = byte;
        }
    }
    if (n == 0)
        return emk_fail(e, EMK_E_USAGE, "passphrase: empty", 0);
    *len = n;
    return EMK_OK;
}

/* Gives the first len bytes of a secret as a secret of that length. */
static emk_status shortened(const emk_secret *from, size_t len, emk_secret **out, emk_error *e)
{
    emk_secret *s = NULL;
    emk_status st = emk_secret_new(len, &s, e);

    if (st != EMK_OK)
        return st;
    memcpy(emk_secret_bytes(s), emk_secret_span(from).p, len);
    *out = s;
    return EMK_OK;
}

static void write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static emk_status ask_on(int tty, const char *prompt, emk_secret *line, size_t *len, emk_error *e)
{
    struct termios before, quiet;
    emk_status st;

    if (tcgetattr(tty, &before) != 0)
        return emk_fail_errno(e, "passphrase: no terminal");
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
        return emk_fail_errno(e, "passphrase: no terminal");
    write_all(tty, prompt);
    st = read_line(tty, emk_secret_bytes(line), emk_secret_len(line), len, e);
    write_all(tty, "\n");
    tcsetattr(tty, TCSAFLUSH, &before);
    return st;
}

emk_status emk_cli_ask_secret(const char *prompt, size_t cap, emk_secret **out, emk_error *e)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    emk_secret *line = NULL;
    size_t len = 0;
    emk_status st;

    if (tty < 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "passphrase: no terminal to ask on", 0);
    st = emk_secret_new(cap, &line, e);
    if (st == EMK_OK)
        st = ask_on(tty, prompt, line, &len, e);
    if (st == EMK_OK)
        st = shortened(line, len, out, e);
    emk_secret_free(line);
    close(tty);
    return st;
}

emk_status emk_cli_read_secret_fd(int fd, size_t max, emk_secret **out, emk_error *e)
{
    emk_secret *all = NULL;
    size_t n = 0;
    emk_status st = emk_secret_new(max + 1, &all, e);
    uint8_t *p;

    if (st != EMK_OK)
        return st;
    p = emk_secret_bytes(all);
    while (n <= max && read_byte(fd, p + n))
        n++;
    if (n > max)
        st = emk_fail(e, EMK_E_LIMIT, "passphrase: too long", max);
    while (n > 0 && (p[n - 1] == '\n' || p[n - 1] == '\r'))
        n--;
    if (st == EMK_OK && n == 0)
        st = emk_fail(e, EMK_E_USAGE, "passphrase: empty", 0);
    if (st == EMK_OK)
        st = shortened(all, n, out, e);
    emk_secret_free(all);
    return st;
}

emk_status emk_cli_read_stdin(emk_buf *out, emk_error *e)
{
    uint8_t piece[STEP];

    for (;;) {
        ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
        emk_status st;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return emk_fail_errno(e, "standard input: cannot read");
        if (n == 0)
            return EMK_OK;
        st = emk_buf_append(out, emk_span_of(piece, (size_t)n), e);
        if (st != EMK_OK)
            return st;
    }
}
