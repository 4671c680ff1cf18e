/*
 * A stream's pieces lie one after the other in its record, and in JSON within each other, as a person would look for them: what is pending
 * in its group, the groups in the stream.
 */
#include "migrate/engine/record/json_stream.h"

#include <assert.h>
#include <jansson.h>

#include "migrate/engine/record/stream.h"

static const char *const head_names[NSM_STREAM_HEAD] = {"last_id", "entries_added",
                                                        "max_deleted_id"};
static const char *const group_names[NSM_STREAM_GROUP_ITEMS - 1] = {"name", "last_delivered_id",
                                                                    "entries_read"};

/* ---- writing ---- */

static void write_members(struct nsm_buf *out, const char *const *names,
                          const struct nsm_value *values, size_t n)
{
    for (size_t index = 0; index < n; index++) {
        nsm_buf_append_cstr(out, index ? ",\"" : "\"");
        nsm_buf_append_cstr(out, names[index]);
        nsm_buf_append_cstr(out, "\":");
        nsm_json_write_item(out, &values[index]);
    }
}

/* What is open while groups are written. */
struct open_group {
    bool is_open, has_members;
    bool has_array;
    enum nsm_stream_piece_kind array; /* of these */
};

static void close_group(struct nsm_buf *out, struct open_group *open)
{
    if (open->has_array)
        nsm_buf_append_char(out, ']');
    if (open->is_open)
        nsm_buf_append_char(out, '}');
    *open = (struct open_group){0};
}

/* Before an element of an array of such pieces. */
static void open_array(struct nsm_buf *out, struct open_group *open,
                       enum nsm_stream_piece_kind kind)
{
    if (open->has_array && open->array == kind) {
        nsm_buf_append_char(out, ',');
        return;
    }
    if (open->has_array)
        nsm_buf_append_char(out, ']');
    nsm_buf_append_cstr(out, open->has_members ? "," : "");
    nsm_buf_append_cstr(out, kind == NSM_STREAM_CONSUMER ? "\"consumers\":[" : "\"pending\":[");
    open->has_members = true;
    open->has_array = true;
    open->array = kind;
}

static void write_of_group(struct nsm_buf *out, struct open_group *open, bool is_first,
                           const struct nsm_stream_piece *piece)
{
    if (piece->kind == NSM_STREAM_GROUP || is_first) {
        close_group(out, open);
        nsm_buf_append_cstr(out, is_first ? "{" : ",{");
        open->is_open = true;
    }
    if (piece->kind == NSM_STREAM_GROUP) {
        write_members(out, group_names, piece->values, piece->n_values);
        open->has_members = true;
        return;
    }
    open_array(out, open, piece->kind);
    if (piece->kind == NSM_STREAM_CONSUMER)
        nsm_json_write_item(out, &piece->values[0]);
    else
        nsm_json_write_array(out, piece->values, piece->n_values);
}

static bool has_groups(const struct nsm_record *record, size_t at)
{
    return at < record->n_items && record->items[at].type == NSM_TEXT;
}

/* The pieces of groups; *at is then at the first entry. */
static void write_groups(struct nsm_buf *out, const struct nsm_record *record, size_t *at)
{
    struct open_group open = {0};
    nsm_buf_append_cstr(out, "\"groups\":[");
    for (bool is_first = true; has_groups(record, *at); is_first = false) {
        struct nsm_stream_piece piece;
        const bool is_whole = nsm_stream_next(record, at, &piece);
        assert(is_whole);
        write_of_group(out, &open, is_first, &piece);
    }
    close_group(out, &open);
    nsm_buf_append_cstr(out, "],");
}

static void write_entries(struct nsm_buf *out, const struct nsm_record *record, size_t at)
{
    nsm_buf_append_char(out, '[');
    for (bool is_first = true; at < record->n_items; is_first = false) {
        struct nsm_stream_piece piece;
        const bool is_whole = nsm_stream_next(record, &at, &piece);
        assert(is_whole && piece.kind == NSM_STREAM_ENTRY);
        nsm_buf_append_cstr(out, is_first ? "[" : ",[");
        nsm_json_write_item(out, &piece.values[0]);
        nsm_buf_append_char(out, ',');
        nsm_json_write_array(out, &piece.values[2], piece.n_values - 2);
        nsm_buf_append_char(out, ']');
    }
    nsm_buf_append_char(out, ']');
}

void nsm_json_write_stream(struct nsm_buf *out, const struct nsm_record *record)
{
    const bool is_continued = record->flags & NSM_RECORD_CONTINUED;
    size_t at = is_continued ? 0 : NSM_STREAM_HEAD;
    assert(record->n_items >= at);
    if (is_continued && !has_groups(record, at)) {
        write_entries(out, record, at);
        return;
    }
    nsm_buf_append_char(out, '{');
    if (!is_continued) {
        write_members(out, head_names, record->items, NSM_STREAM_HEAD);
        nsm_buf_append_char(out, ',');
    }
    if (has_groups(record, at))
        write_groups(out, record, &at);
    nsm_buf_append_cstr(out, "\"entries\":");
    write_entries(out, record, at);
    nsm_buf_append_char(out, '}');
}

/* ---- reading ---- */

/* Fills the items of a record one after the other. */
struct filler {
    struct nsm_batch *batch;
    struct nsm_value *at;
};

static struct nsm_error *fill(struct filler *filler, const json_t *json)
{
    return nsm_json_read_item(filler->batch, json, filler->at++);
}

static struct nsm_error *fill_number(struct filler *filler, const json_t *json)
{
    return json_is_integer(json) ? fill(filler, json) : nsm_json_expected("an integer", json);
}

/* [id, [field, value, ...]] */
static struct nsm_error *fill_entry(struct filler *filler, const json_t *entry)
{
    const json_t *const fields = json_array_get(entry, 1);
    const size_t n_values = json_array_size(fields);
    NSM_TRY(fill(filler, json_array_get(entry, 0)));
    if (filler->at[-1].type == NSM_TEXT) /* as only the words of groups are */
        return nsm_json_expected("an id", json_array_get(entry, 0));
    const char *const count = nsm_arena_printf(&filler->batch->arena, "%zu", n_values / 2);
    *filler->at++ = (struct nsm_value){.type = NSM_INT, .bytes = nsm_str_of(count)};
    for (size_t index = 0; index < n_values; index++)
        NSM_TRY(fill(filler, json_array_get(fields, index)));
    return NULL;
}

static struct nsm_error *fill_pending(struct filler *filler, const json_t *pending)
{
    *filler->at++ = nsm_stream_word(NSM_STREAM_PENDING);
    NSM_TRY(fill(filler, json_array_get(pending, 0)));
    NSM_TRY(fill(filler, json_array_get(pending, 1)));
    NSM_TRY(fill_number(filler, json_array_get(pending, 2)));
    return fill_number(filler, json_array_get(pending, 3));
}

static struct nsm_error *fill_group_head(struct filler *filler, const json_t *group)
{
    const json_t *const entries_read = json_object_get(group, "entries_read");
    *filler->at++ = nsm_stream_word(NSM_STREAM_GROUP);
    NSM_TRY_WRAP(fill(filler, json_object_get(group, "name")), "name");
    NSM_TRY_WRAP(fill(filler, json_object_get(group, "last_delivered_id")), "last_delivered_id");
    return nsm_error_wrap(json_is_null(entries_read) ? fill(filler, entries_read)
                                                     : fill_number(filler, entries_read),
                          "entries_read");
}

static struct nsm_error *fill_group(struct filler *filler, const json_t *group)
{
    if (json_object_get(group, "name"))
        NSM_TRY(fill_group_head(filler, group));
    const json_t *const consumers = json_object_get(group, "consumers");
    for (size_t index = 0; index < json_array_size(consumers); index++) {
        *filler->at++ = nsm_stream_word(NSM_STREAM_CONSUMER);
        NSM_TRY_WRAP(fill(filler, json_array_get(consumers, index)), "consumer %zu", index);
    }
    const json_t *const pending = json_object_get(group, "pending");
    for (size_t index = 0; index < json_array_size(pending); index++)
        NSM_TRY_WRAP(fill_pending(filler, json_array_get(pending, index)), "pending %zu", index);
    return NULL;
}

static struct nsm_error *count_entry_items(const json_t *entries, size_t *n_items)
{
    if (!json_is_array(entries))
        return nsm_json_expected("an array of entries", entries);
    for (size_t index = 0; index < json_array_size(entries); index++) {
        const json_t *const entry = json_array_get(entries, index);
        const json_t *const fields = json_array_get(entry, 1);
        if (json_array_size(entry) != 2 || !json_is_array(fields) ||
            json_array_size(fields) % 2 != 0)
            return nsm_error_wrap(nsm_json_expected("[id, [field, value, ...]]", entry),
                                  "entry %zu", index);
        *n_items += 2 + json_array_size(fields);
    }
    return NULL;
}

/* Of a group that is not the continuation of one before (`may_continue`), and of nothing that is not ours. */
static struct nsm_error *count_group_items(const json_t *group, bool may_continue, size_t *n_items)
{
    const json_t *const consumers = json_object_get(group, "consumers");
    const json_t *const pending = json_object_get(group, "pending");
    const size_t n_arrays = (consumers != NULL) + (pending != NULL);
    const bool is_named = json_object_get(group, "name");
    const size_t n_members = n_arrays + (is_named ? NSM_COUNT_OF(group_names) : 0);
    if (json_object_size(group) != n_members || !(is_named || (may_continue && n_arrays)) ||
        (consumers && !json_is_array(consumers)) || (pending && !json_is_array(pending)))
        return nsm_json_expected(
            "an object of name, last_delivered_id, entries_read, and arrays of "
            "consumers and pending",
            group);
    for (size_t index = 0; index < json_array_size(pending); index++) {
        if (json_array_size(json_array_get(pending, index)) != NSM_STREAM_PENDING_ITEMS - 1)
            return nsm_error_wrap(nsm_json_expected("[id, consumer, delivered_at_ms, times]",
                                                    json_array_get(pending, index)),
                                  "pending %zu", index);
    }
    *n_items += (is_named ? NSM_STREAM_GROUP_ITEMS : 0) +
                NSM_STREAM_CONSUMER_ITEMS * json_array_size(consumers) +
                NSM_STREAM_PENDING_ITEMS * json_array_size(pending);
    return NULL;
}

static struct nsm_error *count_items(const json_t *groups, const json_t *entries, bool is_continued,
                                     size_t *n_items)
{
    if (groups && !json_is_array(groups))
        return nsm_json_expected("an array of groups", groups);
    for (size_t index = 0; index < json_array_size(groups); index++)
        NSM_TRY_WRAP(
            count_group_items(json_array_get(groups, index), is_continued && index == 0, n_items),
            "group %zu", index);
    return count_entry_items(entries, n_items);
}

static struct nsm_error *fill_all(struct filler *filler, const json_t *groups,
                                  const json_t *entries)
{
    for (size_t index = 0; index < json_array_size(groups); index++)
        NSM_TRY_WRAP(fill_group(filler, json_array_get(groups, index)), "group %zu", index);
    for (size_t index = 0; index < json_array_size(entries); index++)
        NSM_TRY_WRAP(fill_entry(filler, json_array_get(entries, index)), "entry %zu", index);
    return NULL;
}

struct nsm_error *nsm_json_read_stream(struct nsm_batch *batch, struct nsm_record *record,
                                       const json_t *json)
{
    const bool is_continued = record->flags & NSM_RECORD_CONTINUED;
    const bool is_bare = is_continued && json_is_array(json);
    const size_t n_head = is_continued ? 0 : NSM_STREAM_HEAD;
    const json_t *const groups = json_object_get(json, "groups");
    if (!is_bare && json_object_size(json) != n_head + 1 + (groups != NULL))
        return nsm_json_expected("an object of last_id, entries_added, max_deleted_id, groups (if "
                                 "any) and entries",
                                 json);
    const json_t *const entries = is_bare ? json : json_object_get(json, "entries");
    size_t n_items = n_head;
    NSM_TRY(count_items(groups, entries, is_continued, &n_items));
    record->items = nsm_arena_calloc(&batch->arena, n_items, sizeof(struct nsm_value));
    record->n_items = n_items;
    struct filler filler = {.batch = batch, .at = record->items};
    for (size_t index = 0; index < n_head; index++)
        NSM_TRY_WRAP(fill(&filler, json_object_get(json, head_names[index])), "%s",
                     head_names[index]);
    NSM_TRY(fill_all(&filler, groups, entries));
    assert(filler.at == record->items + record->n_items);
    return NULL;
}
