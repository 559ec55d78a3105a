/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns SO_REUSEPORT of the listeners that avoid the steering program on again, and finds out whose
 * they are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "service/service.h"

/* The listeners of an endpoint that were changed. */
struct in_force_rejoined {
	size_t n;
	uint32_t pid; /* a process that has one of them open; 0 = none can be seen */
};

/* @whose: by endpoint, whether the processes are searched for, which takes time. @ret: by endpoint.
 * Returns 0; or a negative errno with @err set, if the kernel could not go over all listeners. Then
 * it may have changed listeners that are not in @ret, and the first few others are changed through
 * their processes. */
int in_force_rejoin(const struct service *service, const bool whose[RPD_ENDPOINT_MAX],
                    struct in_force_rejoined ret[RPD_ENDPOINT_MAX], struct error *err);
