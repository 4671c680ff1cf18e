/*
 * Quoting and nearest names for messages. Both look at a bounded piece of what they are given, so
 * that a hostile input of megabytes costs a message no more than a typing error does.
 */
#include "migrate/base/hint.h"

#include "migrate/base/parse.h"

#define QUOTE_MAX_BYTES 60
#define NAME_MAX_BYTES  64
#define DISTANCE_MAX    3

/* The length of the printable UTF-8 sequence at the head of `text`, 0 when there is none. */
static size_t printable_prefix(struct nsm_str text)
{
    const unsigned char first = (unsigned char)text.ptr[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f && first != '"' && first != '\\' ? 1 : 0;
    const size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (n > text.len || !nsm_is_utf8((struct nsm_str){.ptr = text.ptr, .len = n}))
        return 0;
    /* U+0080 to U+009F are control characters too. */
    return first == 0xc2 && (unsigned char)text.ptr[1] < 0xa0 ? 0 : n;
}

void nsm_quote(struct nsm_str text, struct nsm_buf *out)
{
    struct nsm_str rest = text;
    nsm_buf_append_char(out, '"');
    while (rest.len > 0 && text.len - rest.len < QUOTE_MAX_BYTES) {
        const size_t n = printable_prefix(rest);
        if (n > 0)
            nsm_buf_append(out, rest.ptr, n);
        else if (rest.ptr[0] == '"' || rest.ptr[0] == '\\')
            nsm_buf_printf(out, "\\%c", rest.ptr[0]);
        else if (rest.ptr[0] == '\n')
            nsm_buf_append_cstr(out, "\\n");
        else if (rest.ptr[0] == '\t')
            nsm_buf_append_cstr(out, "\\t");
        else
            nsm_buf_printf(out, "\\x%02x", (unsigned)(unsigned char)rest.ptr[0]);
        rest = nsm_str_skip(rest, n > 0 ? n : 1);
    }
    nsm_buf_append_cstr(out, rest.len > 0 ? "...\"" : "\"");
}

static unsigned char fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Optimal string alignment: insert, delete, replace, and swap of neighbours, each counting one. */
static size_t edit_distance(struct nsm_str a, struct nsm_str b)
{
    size_t rows[3][NAME_MAX_BYTES + 1] = {{0}};
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            const size_t differs = fold(a.ptr[i - 1]) != fold(b.ptr[j - 1]);
            row[j] = min3(last[j] + 1, row[j - 1] + 1, last[j - 1] + differs);
            const bool is_swap = i > 1 && j > 1 && fold(a.ptr[i - 1]) == fold(b.ptr[j - 2]) &&
                                 fold(a.ptr[i - 2]) == fold(b.ptr[j - 1]);
            if (is_swap && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        size_t *const unused = before;
        before = last;
        last = row;
        row = unused;
    }
    return last[b.len];
}

struct nsm_nearest nsm_nearest_to(struct nsm_str text)
{
    size_t most = (text.len + 2) / 3;
    if (most > DISTANCE_MAX)
        most = DISTANCE_MAX;
    return (struct nsm_nearest){.text = text, .distance = most + 1};
}

void nsm_nearest_offer(struct nsm_nearest *nearest, struct nsm_str candidate)
{
    const struct nsm_str text = nearest->text;
    if (text.len > NAME_MAX_BYTES || candidate.len > NAME_MAX_BYTES)
        return;
    const size_t gap =
        text.len > candidate.len ? text.len - candidate.len : candidate.len - text.len;
    if (gap >= nearest->distance)
        return;
    const size_t distance = edit_distance(text, candidate);
    /* With every letter replaced it is another word, however short. */
    if (distance < nearest->distance && distance < candidate.len) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}

bool nsm_next_word(const char **words, struct nsm_str *ret_word)
{
    if (!*words || **words == '\0')
        return false;
    const char *const bar = strchrnul(*words, '|');
    *ret_word = (struct nsm_str){.ptr = *words, .len = (size_t)(bar - *words)};
    *words = *bar ? bar + 1 : bar;
    return true;
}

void nsm_nearest_offer_words(struct nsm_nearest *nearest, const char *words)
{
    struct nsm_str word;
    while (nsm_next_word(&words, &word))
        nsm_nearest_offer(nearest, word);
}

void nsm_nearest_write(const struct nsm_nearest *nearest, struct nsm_buf *out)
{
    if (!nearest->best.ptr)
        return;
    nsm_buf_append_cstr(out, "; did you mean ");
    nsm_quote(nearest->best, out);
    nsm_buf_append_char(out, '?');
}
