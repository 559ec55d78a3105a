/* SPDX-License-Identifier: BSD-2-Clause */
/* A worker that is not in a slot yet. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/listener.h"
#include "core/process.h"
#include "core/roster.h"
#include "service/service.h"

struct newcomer {
	struct holder owner; /* the process that serves its listeners */
	struct process main; /* the process that the supervisor has started; pid 0 = none */
	/* By endpoint of the service: its listener, NULL = none, and the owner's descriptor for it.
	 */
	const struct listener *listeners[RPD_ENDPOINT_MAX];
	int32_t fds[RPD_ENDPOINT_MAX];
};

/*
 * Fills in @ret for worker @index of a roster that was built from @listeners and @holders, which
 * @ret then points into. All its groups must be endpoints of the service. Returns in how many
 * endpoints the worker listens.
 */
size_t newcomer_from_roster(const struct service *service, const struct roster *roster,
                            size_t index, const struct listener *listeners,
                            const struct holder *holders, size_t n_holders, struct newcomer *ret);

/* Whether the newcomer and the slot's row are the same process. */
bool newcomer_is_in_row(const struct newcomer *newcomer, const struct rpd_worker *row);
