/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting until no run of a BPF program can still see what was in force before. Done by replacing
 * an entry of a map of maps: the kernel promises that such an update returns only after an RCU
 * grace period (maybe_wait_bpf_programs(), Linux 5.0), just so that user space can rely on it.
 */
#pragma once

#include "base/error.h"

struct grace {
	int outer, inner; /* the maps, -1 = none */
};

#define GRACE_NONE      ((struct grace){-1, -1})
#define _cleanup_grace_ __attribute__((cleanup(grace_close)))

/* Makes all that waiting needs, so that it can't fail for want of it after a change. */
int grace_prepare(struct grace *grace, struct error *err);

/* Returns after every BPF program run that was under way at the call has ended. */
int grace_wait(const struct grace *grace, struct error *err);

void grace_close(struct grace *grace);
