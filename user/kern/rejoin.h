/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns SO_REUSEPORT of listeners that avoid the steering program on again (rejoin.bpf.c). Needs
 * Linux 5.15, BTF and CAP_PERFMON. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "kern/steer.h"
#include <reuseportd/abi.h>
#include <reuseportd/rejoin_abi.h>

/*
 * Of all members of the groups that have the service's programs, in the network namespace of the
 * calling thread. Sets *ret to the listeners that were changed, which the caller frees; NULL: there
 * are none. Returns 0, or a negative errno with @err set.
 */
int rejoin(const struct steer *steer, struct rpd_rejoined **ret, size_t *ret_n, struct error *err);
