/*
 * What a message about a mistake says besides the mistake: the text that was found, safe to print,
 * and the name that was probably meant.
 *
 * Threads: no state.
 */
#ifndef NSM_BASE_HINT_H
#define NSM_BASE_HINT_H

#include "migrate/base/buf.h"

/* Appends `text` in double quotes, cut behind about 60 bytes ("..."), with control characters,
 * quotes and whatever is not UTF-8 escaped: fit for a terminal, whatever the bytes. */
NSM_API void nsm_quote(struct nsm_str text, struct nsm_buf *out);

/* The best of the candidates that were offered, by the Damerau-Levenshtein distance without regard
 * to case. Only a candidate that is near enough to be a typing error is ever the best. */
struct nsm_nearest {
    struct nsm_str text;
    struct nsm_str best; /* ptr NULL: none is near; else borrowed from the offer */
    size_t distance;     /* of best; before the first: the greatest that counts as near, plus one */
};

NSM_API struct nsm_nearest nsm_nearest_to(struct nsm_str text);
NSM_API void nsm_nearest_offer(struct nsm_nearest *nearest, struct nsm_str candidate);
/* Offers each word of "a|b|c". */
NSM_API void nsm_nearest_offer_words(struct nsm_nearest *nearest, const char *words);
/* Appends `; did you mean "NAME"?`, or nothing. */
NSM_API void nsm_nearest_write(const struct nsm_nearest *nearest, struct nsm_buf *out);

/* Cuts the next word off "a|b|c", or off a NULL; false when there is none left. */
NSM_API bool nsm_next_word(const char **words, struct nsm_str *ret_word);

#endif
