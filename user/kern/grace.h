/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waits until no run of a BPF program can still see the state from before a change: for an RCU
 * grace period. To wait, it replaces an entry of a map of maps: the kernel guarantees that this
 * update returns only after a grace period (maybe_wait_bpf_programs(), Linux 5.0).
 */
#pragma once

#include "base/error.h"

struct grace {
	int outer, inner; /* the maps, -1 = none */
};

#define GRACE_NONE      ((struct grace){-1, -1})
#define _cleanup_grace_ __attribute__((cleanup(grace_close)))

/* Makes the maps, once, before the change, so that waiting after it can't fail for lack of memory.
 */
int grace_prepare(struct grace *grace, struct error *err);

/* Returns when every run of a BPF program that was under way at the call has ended. */
int grace_wait(const struct grace *grace, struct error *err);

void grace_close(struct grace *grace);
