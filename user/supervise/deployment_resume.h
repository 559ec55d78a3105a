/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A deployment that an earlier supervisor, which was killed or re-executed, has left: the next
 * one goes on with it. The schedule in force shows how far it has come, because the file
 * (deployment_note.h) may be from just before the last step.
 */
#pragma once

#include <stdbool.h>

#include "supervise/types.h"

/* Before workers are taken over: reads what is written down. */
void deployment_resume_read(struct supervisor *sup);

/* Whether the worker, which is in no slot, is one that the deployment keeps. */
bool deployment_resume_holds(const struct worker *w);

/* After workers were taken over: gives them their versions. */
void deployment_resume_take_workers(struct supervisor *sup);

/* Goes on. */
void deployment_resume(struct supervisor *sup);
