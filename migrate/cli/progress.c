/*
 * See progress.h. A rate is smoothed over a few seconds; it is made from differences between two
 * looks, because the records of a resumed namespace include those of earlier runs. When there are
 * more namespaces than lines, the running ones are shown and the others are counted.
 */
#include "migrate/cli/progress.h"

#include "migrate/base/alloc.h"
#include "migrate/base/clock.h"
#include "migrate/cli/human.h"
#include "migrate/cli/summary.h"
#include "migrate/cli/table.h"

#include <pthread.h>

#define LIVE_PERIOD_NS  (200 * NSM_NS_PER_MS)
#define PLAIN_PERIOD_NS (5 * NSM_NS_PER_S)
#define SMOOTHING_S     3.0

/* A namespace, or all of them, as last looked at. */
struct track {
    struct nsm_progress now;
    uint64_t last_records; /* at the last look */
    uint64_t told_records; /* plain lines: when last told */
    double rate;           /* records a second, smoothed; < 0: none yet */
};

struct nsm_progress_view {
    const struct nsm_migration *migration;
    struct nsm_console *console;
    struct track *tracks;
    size_t n_tracks;
    struct track total;
    int64_t looked_ns;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex; /* guards is_ending */
    pthread_cond_t cond;
    bool is_ending;
};

/* ---- looking ---- */

struct counts {
    size_t n_running, n_waiting, n_ok, n_failed, n_cancelled;
};

static void count_status(struct counts *counts, enum nsm_status status)
{
    switch (status) {
    case NSM_STATUS_SKIPPED:
        counts->n_waiting++;
        break;
    case NSM_STATUS_RUNNING:
        counts->n_running++;
        break;
    case NSM_STATUS_OK:
        counts->n_ok++;
        break;
    case NSM_STATUS_FAILED:
        counts->n_failed++;
        break;
    case NSM_STATUS_CANCELLED:
    case NSM_STATUS_INTERRUPTED:
        counts->n_cancelled++;
        break;
    }
}

static void update_rate(struct track *track, double seconds)
{
    const uint64_t n_records = track->now.n_records;
    const bool is_back = n_records < track->last_records; /* begun anew after an error */
    const double rate = is_back ? 0 : (double)(n_records - track->last_records) / seconds;
    track->last_records = n_records;
    if (track->rate < 0)
        track->rate = rate;
    else
        track->rate += (rate - track->rate) * (seconds / (seconds + SMOOTHING_S));
}

static struct counts look(struct nsm_progress_view *view)
{
    const int64_t now_ns = nsm_now_ns();
    const double seconds = (double)(now_ns - view->looked_ns) / (double)NSM_NS_PER_S;
    view->looked_ns = now_ns;

    struct counts counts = {0};
    view->total.now = (struct nsm_progress){0};
    for (size_t i = 0; i < view->n_tracks; i++) {
        struct track *const track = &view->tracks[i];
        nsm_migration_progress(view->migration, i, &track->now);
        count_status(&counts, track->now.status);
        view->total.now.n_records += track->now.n_records;
        view->total.now.n_bytes += track->now.n_bytes;
        view->total.now.total_records += track->now.total_records;
        if (seconds > 0 && track->now.status == NSM_STATUS_RUNNING)
            update_rate(track, seconds);
    }
    if (seconds > 0)
        update_rate(&view->total, seconds);
    return counts;
}

/* Seconds to go; < 0 when nobody can tell. */
static double seconds_left(const struct track *track)
{
    if (track->rate < 1 || track->now.total_records <= track->now.n_records)
        return -1;
    return (double)(track->now.total_records - track->now.n_records) / track->rate;
}

/* ---- the terminal ---- */

static const struct nsm_table_column live_columns[] = {
    {"", NSM_ALIGN_LEFT},  {"", NSM_ALIGN_LEFT},  {"", NSM_ALIGN_RIGHT},
    {"", NSM_ALIGN_RIGHT}, {"", NSM_ALIGN_RIGHT}, {"", NSM_ALIGN_LEFT},
};

static const char *state_text(const struct nsm_progress *progress)
{
    if (progress->status == NSM_STATUS_SKIPPED)
        return "waiting";
    const bool is_at_work = progress->status == NSM_STATUS_RUNNING && progress->step[0];
    return is_at_work ? progress->step : nsm_status_name(progress->status);
}

static void add_percent(struct nsm_table *table, const struct nsm_progress *progress)
{
    if (progress->total_records == 0) {
        nsm_table_add(table, NSM_STYLE_PLAIN, "%s", "");
        return;
    }
    /* An estimated census may be short of what is read; and only the end is 100. */
    const double part = (double)progress->n_records / (double)progress->total_records * 100;
    const double most = progress->status == NSM_STATUS_OK ? 100 : 99;
    nsm_table_add(table, NSM_STYLE_PLAIN, "%.0f%%", part < most ? part : most);
}

static void add_records(struct nsm_table *table, const struct nsm_progress *progress)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    if (progress->n_records > 0 || progress->total_records > 0)
        nsm_human_count(&text, progress->n_records);
    if (progress->total_records > 0 && progress->status != NSM_STATUS_OK) {
        nsm_buf_append_cstr(&text, " of ");
        nsm_human_count(&text, progress->total_records);
    }
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", text.ptr);
}

static void add_pace(struct nsm_table *table, const struct track *track, bool is_moving)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf rate = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf left = NSM_BUF_TEXT;
    if (is_moving && track->rate >= 1)
        nsm_human_rate(&rate, track->rate);
    if (is_moving && seconds_left(track) >= 0) {
        nsm_human_seconds(&left, seconds_left(track));
        nsm_buf_append_cstr(&left, " to go");
    }
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", rate.ptr);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", left.ptr);
}

/* A long name must not push the rest out of sight. */
static void add_name(struct nsm_table *table, const char *name, size_t columns)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf clean = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf clipped = NSM_BUF_TEXT;
    nsm_human_text(&clean, nsm_str_of(name));
    nsm_human_clip(&clipped, nsm_buf_view(&clean), columns < 30 ? 10 : columns / 3);
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", clipped.ptr);
}

static void add_track(struct nsm_table *table, const struct track *track, size_t columns)
{
    const struct nsm_progress *const progress = &track->now;
    add_name(table, progress->name, columns);
    nsm_table_add(table, nsm_summary_style(progress->status), "%s", state_text(progress));
    add_percent(table, progress);
    add_records(table, progress);
    add_pace(table, track, progress->status == NSM_STATUS_RUNNING);
}

static void add_total(struct nsm_table *table, const struct nsm_progress_view *view,
                      const struct counts *counts)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf ended = NSM_BUF_TEXT;
    nsm_human_count(&ended, counts->n_ok + counts->n_failed + counts->n_cancelled);
    nsm_buf_append_cstr(&ended, " of ");
    nsm_human_count(&ended, view->n_tracks);
    nsm_table_add(table, NSM_STYLE_HEAD, "total");
    nsm_table_add(table, NSM_STYLE_PLAIN, "%s", ended.ptr);
    add_percent(table, &view->total.now);
    add_records(table, &view->total.now);
    add_pace(table, &view->total, counts->n_running > 0);
}

/* "... and 3 more running, 37 waiting, 12 done": those that got no line. */
static void write_rest(const struct counts *counts, size_t n_shown, struct nsm_buf *out)
{
    const struct {
        size_t count;
        const char *word;
    } rest[] = {
        {counts->n_running - n_shown, "more running"},
        {counts->n_waiting, "waiting"},
        {counts->n_ok, "done"},
        {counts->n_failed, "failed"},
        {counts->n_cancelled, "cancelled"},
    };
    const char *separator = "... and ";
    for (size_t i = 0; i < NSM_COUNT_OF(rest); i++) {
        if (rest[i].count == 0)
            continue;
        nsm_buf_append_cstr(out, separator);
        nsm_human_count(out, rest[i].count);
        nsm_buf_printf(out, " %s", rest[i].word);
        separator = ", ";
    }
    nsm_buf_append_char(out, '\n');
}

static void paint(struct nsm_progress_view *view, const struct counts *counts)
{
    size_t columns = 0;
    size_t rows = 0;
    nsm_console_size(view->console, &columns, &rows);
    const size_t room = rows > 5 ? rows - 3 : 2; /* beside the cursor's line, the total, the rest */
    const bool all_fit = view->n_tracks <= room;

    NSM_CLEANUP(nsm_table_freep)
    struct nsm_table *table = nsm_table_new(live_columns, NSM_COUNT_OF(live_columns));
    size_t n_shown = 0;
    for (size_t i = 0; i < view->n_tracks && n_shown < room; i++) {
        if (!all_fit && view->tracks[i].now.status != NSM_STATUS_RUNNING)
            continue;
        add_track(table, &view->tracks[i], columns);
        n_shown++;
    }
    add_total(table, view, counts);

    const struct nsm_table_look how = {.is_colored = nsm_console_is_colored(view->console),
                                       .max_columns = columns > 1 ? columns - 1 : 1};
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf frame = NSM_BUF_TEXT;
    nsm_table_write(table, &how, &frame);
    if (!all_fit) {
        NSM_CLEANUP(nsm_buf_release) struct nsm_buf rest = NSM_BUF_TEXT;
        write_rest(counts, n_shown, &rest);
        nsm_human_clip(&frame, (struct nsm_str){rest.ptr, rest.len - 1}, how.max_columns);
        nsm_buf_append_char(&frame, '\n');
    }
    nsm_console_paint(view->console, nsm_buf_view(&frame));
}

/* ---- plain lines ---- */

static void tell_track(struct nsm_progress_view *view, struct track *track)
{
    const struct nsm_progress *const progress = &track->now;
    const bool has_moved = progress->n_records != track->told_records;
    track->told_records = progress->n_records;
    if (progress->status != NSM_STATUS_RUNNING || !has_moved)
        return;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_human_count(&text, progress->n_records);
    if (progress->total_records > 0) {
        nsm_buf_append_cstr(&text, " of ");
        nsm_human_count(&text, progress->total_records);
    }
    nsm_buf_append_cstr(&text, " records, ");
    nsm_human_rate(&text, track->rate);
    if (seconds_left(track) >= 0) {
        nsm_buf_append_cstr(&text, ", ");
        nsm_human_seconds(&text, seconds_left(track));
        nsm_buf_append_cstr(&text, " to go");
    }
    nsm_console_line(view->console, "%s: %s %s", progress->name, state_text(progress), text.ptr);
}

/* ---- the thread ---- */

static bool wait_period(struct nsm_progress_view *view, int64_t period_ns)
{
    const int64_t until_ns = nsm_now_ns() + period_ns;
    const struct timespec until = {.tv_sec = until_ns / NSM_NS_PER_S,
                                   .tv_nsec = until_ns % NSM_NS_PER_S};
    pthread_mutex_lock(&view->mutex);
    while (!view->is_ending && nsm_now_ns() < until_ns)
        pthread_cond_timedwait(&view->cond, &view->mutex, &until);
    const bool is_ending = view->is_ending;
    pthread_mutex_unlock(&view->mutex);
    return !is_ending;
}

static void *show(void *arg)
{
    struct nsm_progress_view *const view = arg;
    const bool is_live = nsm_console_is_live(view->console);
    while (wait_period(view, is_live ? LIVE_PERIOD_NS : PLAIN_PERIOD_NS)) {
        const struct counts counts = look(view);
        if (is_live) {
            paint(view, &counts);
            continue;
        }
        for (size_t i = 0; i < view->n_tracks; i++)
            tell_track(view, &view->tracks[i]);
    }
    return NULL;
}

struct nsm_progress_view *nsm_progress_view_new(const struct nsm_migration *migration,
                                                struct nsm_console *console)
{
    struct nsm_progress_view *const view = nsm_xcalloc(1, sizeof(*view));
    view->migration = migration;
    view->console = console;
    view->n_tracks = nsm_migration_size(migration);
    view->tracks = nsm_xcalloc(view->n_tracks + 1, sizeof(*view->tracks));
    view->looked_ns = nsm_now_ns();
    view->total.rate = -1;
    for (size_t i = 0; i < view->n_tracks; i++) {
        struct track *const track = &view->tracks[i];
        nsm_migration_progress(migration, i, &track->now);
        track->last_records = track->told_records = track->now.n_records;
        track->rate = -1;
        view->total.last_records += track->now.n_records;
    }

    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&view->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&view->mutex, NULL);
    /* Without a thread there is no progress to see, and nothing else is lost. */
    view->has_thread =
        !nsm_console_is_quiet(console) && pthread_create(&view->thread, NULL, show, view) == 0;
    return view;
}

void nsm_progress_view_free(struct nsm_progress_view *view)
{
    if (!view)
        return;
    pthread_mutex_lock(&view->mutex);
    view->is_ending = true;
    pthread_cond_signal(&view->cond);
    pthread_mutex_unlock(&view->mutex);
    if (view->has_thread)
        pthread_join(view->thread, NULL);
    nsm_console_paint(view->console, NSM_STR_LIT(""));
    pthread_cond_destroy(&view->cond);
    pthread_mutex_destroy(&view->mutex);
    free(view->tracks);
    free(view);
}

/* ---- events ---- */

static void tell_started(struct nsm_console *console, const struct nsm_event *event)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    if (event->text && event->text[0])
        nsm_buf_printf(&text, ", lane %s", event->text);
    if (event->n_records > 0) {
        nsm_buf_append_cstr(&text, ", ");
        nsm_human_count_of(&text, event->n_records, "record");
    }
    nsm_console_line(console, "%s: started%s", event->namespace_name, text.ptr);
}

static void tell_done(struct nsm_console *console, const struct nsm_event *event)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_human_count_of(&text, event->n_records, "record");
    nsm_buf_append_cstr(&text, " in ");
    nsm_human_seconds(&text, event->seconds);
    nsm_console_line(console, "%s: %s, %s", event->namespace_name, event->text, text.ptr);
}

void nsm_progress_tell(struct nsm_console *console, const struct nsm_event *event, bool is_verbose)
{
    const char *const text = event->text ? event->text : "";
    /* On a terminal the live area tells of begin, step and end. */
    const bool is_plain = !nsm_console_is_live(console) || is_verbose;
    const char *const who = event->namespace_name ? event->namespace_name : "all";
    switch (event->kind) {
    case NSM_EVENT_RUN_STARTED:
        nsm_console_line(console, "%s", text);
        break;
    case NSM_EVENT_NAMESPACE_STARTED:
        if (is_plain)
            tell_started(console, event);
        break;
    case NSM_EVENT_NAMESPACE_ENDED:
        if (is_plain)
            tell_done(console, event);
        break;
    case NSM_EVENT_STEP:
        if (is_verbose)
            nsm_console_line(console, "%s: %s", who, text);
        break;
    case NSM_EVENT_PART_DONE:
        if (is_verbose)
            tell_done(console, event);
        break;
    case NSM_EVENT_RETRY:
        nsm_console_line(console, "%s: trying again: %s", who, text);
        break;
    case NSM_EVENT_WARNING:
        nsm_console_line(console, "%s: warning: %s", who, text);
        break;
    case NSM_EVENT_SURVEYED:
    case NSM_EVENT_RUN_ENDED:
        break;
    }
}
