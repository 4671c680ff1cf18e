/*
 * See console.h. Each change goes out in one write, made of: up over the live area, the new text
 * line by line (each erases what was right of it), then erase what is left below.
 */
#include "migrate/cli/console.h"

#include "migrate/base/alloc.h"
#include "migrate/base/buf.h"
#include "migrate/cli/human.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ERASE_TO_END_OF_LINE   "\x1b[K"
#define ERASE_TO_END_OF_SCREEN "\x1b[J"

struct nsm_console {
    int fd;
    bool is_quiet, is_live, is_terminal, wants_color;
    pthread_mutex_t mutex; /* guards what follows, and the order of writes */
    struct nsm_buf frame;  /* the live area, as painted */
};

/* Called before any thread is made. */
static const char *environment(const char *name)
{
    const char *const value = getenv(name); /* NOLINT(concurrency-mt-unsafe) */
    return value ? value : "";
}

struct nsm_console *nsm_console_new(int fd, unsigned flags)
{
    struct nsm_console *const console = nsm_xcalloc(1, sizeof(*console));
    const char *const term = environment("TERM");
    const bool is_able = term[0] != '\0' && strcmp(term, "dumb") != 0;
    const bool is_barred = flags & NSM_CONSOLE_NO_COLOR || environment("NO_COLOR")[0] != '\0';
    console->fd = fd;
    console->is_terminal = isatty(fd) == 1;
    console->is_quiet = flags & NSM_CONSOLE_QUIET;
    console->is_live =
        console->is_terminal && is_able && !(flags & (NSM_CONSOLE_NO_LIVE | NSM_CONSOLE_QUIET));
    console->wants_color = is_able && !is_barred;
    pthread_mutex_init(&console->mutex, NULL);
    console->frame = NSM_BUF_TEXT;
    return console;
}

void nsm_console_free(struct nsm_console *console)
{
    if (!console)
        return;
    nsm_console_paint(console, NSM_STR_LIT(""));
    pthread_mutex_destroy(&console->mutex);
    nsm_buf_release(&console->frame);
    free(console);
}

bool nsm_console_is_quiet(const struct nsm_console *console)
{
    return console->is_quiet;
}

bool nsm_console_is_live(const struct nsm_console *console)
{
    return console->is_live;
}

bool nsm_console_wants_color(const struct nsm_console *console)
{
    return console->wants_color;
}

bool nsm_console_is_colored(const struct nsm_console *console)
{
    return console->is_terminal && console->wants_color;
}

void nsm_console_size(const struct nsm_console *console, size_t *ret_columns, size_t *ret_rows)
{
    struct winsize size = {0};
    const bool is_known = ioctl(console->fd, TIOCGWINSZ, &size) == 0;
    *ret_columns = is_known && size.ws_col > 0 ? size.ws_col : 80;
    *ret_rows = is_known && size.ws_row > 0 ? size.ws_row : 24;
}

/* Nobody can be told of a standard error that is gone. */
static void send(int fd, struct nsm_str text)
{
    while (text.len > 0) {
        const ssize_t written = write(fd, text.ptr, text.len);
        if (written < 0 && errno != EINTR)
            return;
        if (written > 0)
            text = nsm_str_skip(text, (size_t)written);
    }
}

static size_t count_lines(struct nsm_str text)
{
    size_t n_lines = 0;
    for (size_t i = 0; i < text.len; i++)
        n_lines += text.ptr[i] == '\n';
    return n_lines;
}

static void append_lines(struct nsm_buf *out, struct nsm_str text)
{
    while (text.len > 0) {
        const char *const end = memchr(text.ptr, '\n', text.len);
        const size_t len = end ? (size_t)(end - text.ptr) : text.len;
        nsm_buf_append(out, text.ptr, len);
        nsm_buf_append_cstr(out, ERASE_TO_END_OF_LINE "\n");
        text = nsm_str_skip(text, end ? len + 1 : len);
    }
}

/* `lines` stay, `frame` becomes the live area. The mutex is held. */
static void show(struct nsm_console *console, struct nsm_str lines, struct nsm_str frame)
{
    if (console->frame.len == 0 && frame.len == 0) {
        send(console->fd, lines);
        return;
    }
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf out = NSM_BUF_TEXT;
    const size_t n_up = count_lines(nsm_buf_view(&console->frame));
    nsm_buf_append_char(&out, '\r');
    if (n_up > 0)
        nsm_buf_printf(&out, "\x1b[%zuA", n_up);
    append_lines(&out, lines);
    append_lines(&out, frame);
    nsm_buf_append_cstr(&out, ERASE_TO_END_OF_SCREEN);
    send(console->fd, nsm_buf_view(&out));
}

static void add_lines(struct nsm_console *console, struct nsm_str lines)
{
    pthread_mutex_lock(&console->mutex);
    show(console, lines, nsm_buf_view(&console->frame));
    pthread_mutex_unlock(&console->mutex);
}

static void add_formatted(struct nsm_console *console, const char *before, const char *fmt,
                          va_list args) NSM_PRINTF(3, 0);
static void add_formatted(struct nsm_console *console, const char *before, const char *fmt,
                          va_list args)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf line = NSM_BUF_TEXT;
    nsm_buf_vprintf(&text, fmt, args);
    nsm_buf_append_cstr(&line, before);
    nsm_human_text(&line, nsm_buf_view(&text));
    nsm_buf_append_char(&line, '\n');
    add_lines(console, nsm_buf_view(&line));
}

void nsm_console_line(struct nsm_console *console, const char *fmt, ...)
{
    if (console->is_quiet)
        return;
    va_list args;
    va_start(args, fmt);
    add_formatted(console, "", fmt, args);
    va_end(args);
}

void nsm_console_problem(struct nsm_console *console, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_formatted(console, "nsmigrate: ", fmt, args);
    va_end(args);
}

void nsm_console_text(struct nsm_console *console, struct nsm_str text)
{
    add_lines(console, text);
}

void nsm_console_paint(struct nsm_console *console, struct nsm_str frame)
{
    if (!console->is_live)
        return;
    pthread_mutex_lock(&console->mutex);
    if (console->frame.len > 0 || frame.len > 0) {
        show(console, NSM_STR_LIT(""), frame);
        nsm_buf_clear(&console->frame);
        nsm_buf_append_str(&console->frame, frame);
    }
    pthread_mutex_unlock(&console->mutex);
}
