/* See table.h. Cells lie in one array, row after row, their text in an arena. */
#include "migrate/cli/table.h"

#include "migrate/base/alloc.h"
#include "migrate/base/arena.h"

#include <assert.h>
#include <stdarg.h>

#define MAX_COLUMNS 16
#define GAP         2

struct cell {
    struct nsm_str text;
    size_t width;
    enum nsm_style style;
};

struct nsm_table {
    const struct nsm_table_column *columns;
    size_t n_columns;
    struct nsm_arena arena;
    struct cell *cells;
    size_t n_cells, cap_cells;
};

struct nsm_table *nsm_table_new(const struct nsm_table_column *columns, size_t n_columns)
{
    assert(n_columns > 0 && n_columns <= MAX_COLUMNS);
    struct nsm_table *const table = nsm_xcalloc(1, sizeof(*table));
    table->columns = columns;
    table->n_columns = n_columns;
    return table;
}

void nsm_table_free(struct nsm_table *table)
{
    if (!table)
        return;
    nsm_arena_release(&table->arena);
    free(table->cells);
    free(table);
}

static void add_text(struct nsm_table *table, enum nsm_style style, struct nsm_str text)
{
    NSM_GROW(table->cells, table->n_cells, table->cap_cells);
    struct cell *const cell = &table->cells[table->n_cells++];
    cell->text = nsm_arena_copy(&table->arena, text);
    cell->width = nsm_human_width(text);
    cell->style = style;
}

void nsm_table_add(struct nsm_table *table, enum nsm_style style, const char *fmt, ...)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf raw = NSM_BUF_TEXT;
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf clean = NSM_BUF_TEXT;
    va_list args;
    va_start(args, fmt);
    nsm_buf_vprintf(&raw, fmt, args);
    va_end(args);
    nsm_human_text(&clean, nsm_buf_view(&raw));
    add_text(table, style, nsm_buf_view(&clean));
}

void nsm_table_add_count(struct nsm_table *table, uint64_t count)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_human_count(&text, count);
    add_text(table, NSM_STYLE_PLAIN, nsm_buf_view(&text));
}

void nsm_table_add_count_if(struct nsm_table *table, uint64_t count)
{
    if (count > 0)
        nsm_table_add_count(table, count);
    else
        add_text(table, NSM_STYLE_PLAIN, NSM_STR_LIT(""));
}

void nsm_table_add_bytes(struct nsm_table *table, uint64_t bytes)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_human_bytes(&text, bytes);
    add_text(table, NSM_STYLE_PLAIN, nsm_buf_view(&text));
}

void nsm_table_add_seconds(struct nsm_table *table, double seconds)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    nsm_human_seconds(&text, seconds);
    add_text(table, NSM_STYLE_PLAIN, nsm_buf_view(&text));
}

void nsm_table_add_rate(struct nsm_table *table, uint64_t count, double seconds)
{
    NSM_CLEANUP(nsm_buf_release) struct nsm_buf text = NSM_BUF_TEXT;
    if (count > 0 && seconds > 0)
        nsm_human_rate(&text, (double)count / seconds);
    add_text(table, NSM_STYLE_PLAIN, nsm_buf_view(&text));
}

/* 0 for a column that is left out. */
static void measure(const struct nsm_table *table, size_t *widths)
{
    for (size_t column = 0; column < table->n_columns; column++) {
        widths[column] = 0;
        for (size_t i = column; i < table->n_cells; i += table->n_columns) {
            if (table->cells[i].width > widths[column])
                widths[column] = table->cells[i].width;
        }
        const size_t title = nsm_human_width(nsm_str_of(table->columns[column].title));
        if (widths[column] > 0 && title > widths[column])
            widths[column] = title;
    }
}

/* One line on its way out. */
struct line {
    const struct nsm_table_look *look;
    struct nsm_buf *out;
    size_t used;   /* columns */
    size_t blanks; /* owed: written before the next text only, so that no line ends in blanks */
};

static void write_cell(struct line *line, const struct cell *cell, size_t width,
                       enum nsm_align align)
{
    const size_t pad = width - cell->width;
    const size_t before = line->blanks + (align == NSM_ALIGN_RIGHT ? pad : 0);
    const size_t max = line->look->max_columns ? line->look->max_columns : SIZE_MAX;
    line->blanks = before;
    if (cell->width == 0 || line->used + before >= max) {
        line->blanks += width - (align == NSM_ALIGN_RIGHT ? pad : 0);
        return;
    }
    const bool is_styled = line->look->is_colored && cell->style != NSM_STYLE_PLAIN;
    nsm_buf_printf(line->out, "%*s", (int)before, "");
    if (is_styled)
        nsm_buf_append_cstr(line->out, nsm_style_begin(cell->style));
    nsm_human_clip(line->out, cell->text, max - line->used - before);
    if (is_styled)
        nsm_buf_append_cstr(line->out, NSM_STYLE_END);
    line->used += before + cell->width;
    line->blanks = align == NSM_ALIGN_RIGHT ? 0 : pad;
}

static void write_row(const struct nsm_table *table, const struct cell *row, const size_t *widths,
                      struct line line)
{
    bool is_first = true;
    for (size_t column = 0; column < table->n_columns; column++) {
        if (widths[column] == 0)
            continue;
        if (!is_first)
            line.blanks += GAP;
        is_first = false;
        write_cell(&line, &row[column], widths[column], table->columns[column].align);
    }
    nsm_buf_append_char(line.out, '\n');
}

void nsm_table_write(const struct nsm_table *table, const struct nsm_table_look *look,
                     struct nsm_buf *out)
{
    if (table->n_cells < table->n_columns)
        return;
    size_t widths[MAX_COLUMNS];
    measure(table, widths);
    const struct line line = {.look = look, .out = out, .blanks = look->indent};

    struct cell header[MAX_COLUMNS];
    bool has_header = false;
    for (size_t column = 0; column < table->n_columns; column++) {
        const struct nsm_str title = nsm_str_of(table->columns[column].title);
        header[column] = (struct cell){title, nsm_human_width(title), NSM_STYLE_HEAD};
        has_header = has_header || title.len > 0;
    }
    if (has_header)
        write_row(table, header, widths, line);
    for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
        write_row(table, &table->cells[i], widths, line);
}
