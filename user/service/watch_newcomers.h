/* SPDX-License-Identifier: BSD-2-Clause */
/* What `attach --watch` does with listeners that join the groups of a service: it admits them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "service/observed.h"
#include "service/service.h"

struct watch_newcomers {
	uint64_t *seen; /* cookies of the foreign listeners that were there the last time */
	size_t n_seen;
	bool has_room; /* a slot has become free since then */
	struct error *err;
};

/*
 * Admits each foreign listener if a slot is free for it, fills in its slot in @draft, and logs each
 * worker that is admitted or finds no free slot. A worker that listens in all groups gets a
 * free slot. A worker that has closed some of its listeners and opened them again gets its own
 * slot. Returns 0, or a negative errno with newcomers->err set.
 */
int watch_newcomers_admit(struct watch_newcomers *newcomers, struct service *service,
                          struct observed *observed, struct rpd_schedule *draft);

void watch_newcomers_free(struct watch_newcomers *newcomers);
