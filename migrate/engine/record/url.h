/*
 * The secrets in a URL or a libpq connection string, for the settings; the rest of the program
 * takes nsm_url_redact() from settings.h.
 *
 * Threads: no state.
 */
#ifndef NSM_ENGINE_RECORD_URL_H
#define NSM_ENGINE_RECORD_URL_H

#include "migrate/base/buf.h"

/* Appends `url` without its password and secret parameters, so that two texts are equal when they
 * lead to the same store, whatever the password. Not for display: nothing shows what was left out.
 */
void nsm_url_strip(struct nsm_str url, struct nsm_buf *out);

#endif
