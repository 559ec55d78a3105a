/* SPDX-License-Identifier: BSD-2-Clause */
/* What the last lines of a worker that has failed show of the reason: only a guess, for a hint to
 * the user. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether the program says that it runs already: a pid file, a lock or an address is taken. */
bool output_hint_runs_already(const char *text);

/* Whether the program says that an address is in use. *ret_port: the port, or 0 if the line does
 * not have it. */
bool output_hint_address_in_use(const char *text, uint16_t *ret_port);
