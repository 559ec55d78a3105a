/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * If memory is short, the kernel kills the process with the highest score. Until a worker has its
 * slot, its processes have a higher score than those of workers that serve: so a reload that the
 * host has no room for fails, and costs no worker that serves.
 */
#pragma once

#include "supervise/types.h"

/* The worker was just started: its score, which its children inherit, becomes higher. What can't be
 * changed stays as it is. */
void oom_offer_begin(struct worker *w);

/* The worker has got its slot: its processes get the score that they would have had. Those that
 * have set another score keep it. */
void oom_offer_end(struct worker *w);
