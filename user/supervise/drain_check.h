/* SPDX-License-Identifier: BSD-2-Clause */
/* Decides when a worker of `run` that is out of its slot is empty. service/drain_wait.h does that
 * for `drain --wait`. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "supervise/types.h"

/* Whether the worker has no connection, no handshake and nothing in a queue. @ret_open: how many
 * connections are open, UINT64_MAX = not known. Takes the service's lock. */
bool drain_check_is_empty(const struct worker *w, uint64_t *ret_open);
