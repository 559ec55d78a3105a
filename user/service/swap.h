/* SPDX-License-Identifier: BSD-2-Clause */
/* `swap`: the listeners of another process take over a slot, in one step. */
#pragma once

#include "base/error.h"
#include "service/observed.h"
#include "service/service.h"

struct swap_request {
	unsigned int slot;
	uint32_t pid;
	const int *fds; /* its descriptors for the listeners; none = find them */
	size_t n_fds;
};

/*
 * Replaces the listeners in the slot by those of the process. The slot keeps its state, weight and
 * version. Once it returns, the former worker gets no new connection, and keeps its open ones.
 * Returns 0, or a negative errno with @err set; on failure nothing has changed.
 */
int swap(struct service *service, const struct observed *observed,
         const struct swap_request *request, struct error *err);
