/*
 * Adapters that are nothing but tables of options, for tests of what reads such tables. They can't
 * be opened.
 *
 *   feed   read only; no options
 *   files  tables and keys; a required path
 *   keys   keys, by prefix (bytes) or match; every type of option
 *   rows   tables, by schema or table(s); lists schemas and tables
 *   sink   written only; no options
 */
#ifndef NSM_TESTS_FAKE_ADAPTERS_H
#define NSM_TESTS_FAKE_ADAPTERS_H

#include "migrate/engine/plan.h"

extern const struct nsm_adapter_source nsm_fake_adapters;

#endif
