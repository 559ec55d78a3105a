/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of signals, as users write and read them. */
#pragma once

#define SIGNAL_NAME_MAX 24 /* "SIGSTKFLT" and the like, with the final NUL */

/* Parses "SIGTERM", "TERM" or "15". Returns 0, or -EINVAL if there is no such signal. */
int signal_name_parse(const char *text, int *ret);

/* Writes "SIGTERM", or "40" for a signal without a name (a real-time signal). Returns @buf. */
const char *signal_name_format(int number, char buf[SIGNAL_NAME_MAX]);
