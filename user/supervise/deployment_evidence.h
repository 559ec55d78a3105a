/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted of both versions of a deployment that is under way. */
#pragma once

#include "core/verdict.h"
#include "supervise/types.h"

/* Begins to count HTTP responses, if there is a step that is judged. Returns whether they are
 * counted. */
bool deployment_evidence_begin(struct supervisor *sup);

/* The deployment has ended: responses are counted only if the service's configuration says so. */
void deployment_evidence_end(struct supervisor *sup);

/* A step begins to be judged: what was slow, or not counted, before does not matter. */
void deployment_evidence_begin_step(struct supervisor *sup);

/* Reads the running totals: of connections, those of the workers that are in their slots; of
 * responses, those of all workers of a version. Returns NULL, or the end of a
 * sentence that says why the connections are left out: some are not counted. */
const char *deployment_evidence_read(struct supervisor *sup, struct verdict_counts *ret);
