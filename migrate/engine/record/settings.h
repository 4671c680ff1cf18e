/*
 * The values that a plan gives for one table of options. The getters, for adapters too, are in
 * adapters/adapter.h; here is how the plan makes them.
 *
 * Threads: immutable after it was filled.
 */
#ifndef NSM_ENGINE_RECORD_SETTINGS_H
#define NSM_ENGINE_RECORD_SETTINGS_H

#include "adapters/adapter.h"

/* All options of `table` absent; `table` must outlive it. */
NSM_API struct nsm_settings *nsm_settings_new(const struct nsm_option *table)
    NSM_MUST_USE NSM_NONNULL;
NSM_API void nsm_settings_free(struct nsm_settings *settings);
NSM_DEFINE_CLEANUP(struct nsm_settings, nsm_settings_free)

/* Parses `text` as the option's type and keeps it; adds to the list for NSM_OPTION_LIST.
 * NSM_E_INVALID says what was expected ("expected a duration like 200ms, found \"fast\"");
 * NSM_E_NOTFOUND: no such option. PATHs are taken as they are. */
NSM_API struct nsm_error *nsm_settings_set(struct nsm_settings *settings, const char *key,
                                           struct nsm_str text) NSM_MUST_USE;

/* Fills in the defaults of what is absent, and checks required and excluding keys. NSM_E_INVALID
 * names the key. */
NSM_API struct nsm_error *nsm_settings_finish(struct nsm_settings *settings) NSM_MUST_USE;

/* Appends what the option takes: "a duration like 200ms", "one of fail, replace, merge, skip". */
NSM_API void nsm_option_expected(const struct nsm_option *option, struct nsm_buf *out);

/* The option of that key, NULL when there is none. */
NSM_API const struct nsm_option *nsm_option_find(const struct nsm_option *table, const char *key);

/* One text for all values, in table order, for fingerprints and for telling two selections apart:
 * key=value pairs, secrets and the passwords of URLs left out. */
NSM_API void nsm_settings_write(const struct nsm_settings *settings, struct nsm_buf *out);

/* A copy in which every "{name}" in strings and lists is replaced by `value`. */
NSM_API struct nsm_settings *nsm_settings_substitute(const struct nsm_settings *settings,
                                                     const char *name, const char *value)
    NSM_MUST_USE NSM_NONNULL;

/* Appends `url` with its password, and secret query parameters (password=, sslpassword=), replaced
 * by "***". */
NSM_API void nsm_url_redact(struct nsm_str url, struct nsm_buf *out);

#endif
