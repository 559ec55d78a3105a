/* SPDX-License-Identifier: BSD-2-Clause */
/* Map "ignored": networks of clients. A connection from one of these networks is not judged, and
 * its HTTP responses are not counted. What holds when a connection is established holds for all of
 * it.
 */
#pragma once

#include "kern/steer.h"
#include <reuseportd/ignored_abi.h>

/* What came of ignored connections of one account, which its counts include. */
struct steer_ignored_count {
	uint64_t opened, reset_by_worker;
};

/* Replaces the list. Returns 0 or a negative errno. */
int steer_ignored_set(struct steer *steer, const struct rpd_ignored *ignored);

/* Returns 0 or a negative errno. */
int steer_ignored_read(const struct steer *steer, uint16_t account,
                       struct steer_ignored_count *ret);
