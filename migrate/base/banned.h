/*
 * Forced into every translation unit by the build: calls that have a safer form here become compile
 * errors. gcc and clang check poisoned names in our own text only, so headers are included first.
 */
#ifndef NSM_BASE_BANNED_H
#define NSM_BASE_BANNED_H

/* What the poisoned names appear in must be read before they are poisoned. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Unbounded copies: nsm_buf. */
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf stpcpy
/* Hidden static state: the _r forms. (clang-tidy finds rand() and srand(): OpenSSL's headers name
 * parameters so.) */
#pragma GCC poison strtok gmtime localtime ctime asctime
/* Silent overflow, locale and trailing rests: migrate/base/parse.h. */
#pragma GCC poison atoi atol atoll atof
/* Threads end by returning; time comes from clock.h. (alloca is a macro, -Walloca finds it.) */
#pragma GCC poison pthread_cancel usleep

#endif
