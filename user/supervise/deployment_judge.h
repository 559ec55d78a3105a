/* SPDX-License-Identifier: BSD-2-Clause */
/* Judges the new version of a deployment while a judged step is in force (core/verdict.h). */
#pragma once

#include "supervise/types.h"

/* The deployment begins: nothing is known yet. */
void deployment_judge_begin(struct supervisor *sup);

/* A step has come into force: looks at it from time to time, if it is judged. */
void deployment_judge_watch(struct supervisor *sup);

/* No step is in force any more. */
void deployment_judge_end(struct supervisor *sup);
