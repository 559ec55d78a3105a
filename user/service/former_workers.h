/* SPDX-License-Identifier: BSD-2-Clause */
/* The workers of `run` that are out of their slots and still live: they are kept, drain or stop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/service.h"

struct former_worker {
	struct rpd_former row;
	bool counted; /* its open connections are known */
	uint64_t open;
};

/* Lists them by slot, the oldest first. The caller frees *ret. Returns 0 or -ENOMEM. */
int former_workers_list(const struct service *service, struct former_worker **ret, size_t *ret_n);
