/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting until no run of a BPF program can still see what was in force before.
 */
#pragma once

#include "base/error.h"

/*
 * Returns after every BPF program run that was under way at the call has ended. Done by replacing
 * an entry of a map of maps: the kernel promises that such an update returns only after an RCU
 * grace period (maybe_wait_bpf_programs(), Linux 5.0), just so that user space can rely on it.
 */
int grace_wait(struct error *err);
