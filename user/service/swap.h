/* SPDX-License-Identifier: BSD-2-Clause */
/* `swap`: another process's listener takes over a slot, in one step. */
#pragma once

#include "base/error.h"
#include "service/observe.h"
#include "service/service.h"

struct swap_request {
	unsigned int slot;
	uint32_t pid;
	const int *fds; /* its descriptors for the listeners; none = find them */
	size_t n_fds;
};

/*
 * Puts the listeners of the process into the slot in place of those that are there. The slot keeps
 * its state, weight and version. The process that was there goes on with its open connections, and
 * gets no new one from when this returns. Fails before anything has changed.
 */
int swap(struct service *service, const struct observed *observed,
         const struct swap_request *request, struct error *err);
