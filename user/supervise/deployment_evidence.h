/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted of both versions of a deployment that is under way. */
#pragma once

#include "core/verdict.h"
#include "supervise/types.h"

enum deployment_evidence_outcome {
	DEPLOYMENT_EVIDENCE_COUNTED,
	DEPLOYMENT_EVIDENCE_NOT_COUNTED, /* connections are not counted, or some are missing */
};

/* Begins to count HTTP responses, if there is a step that is judged. Returns whether they are
 * counted. */
bool deployment_evidence_begin(struct supervisor *sup);

/* The deployment has ended: responses are counted only if the service's configuration says so. */
void deployment_evidence_end(struct supervisor *sup);

/* A step begins to be judged: what was slow before does not count. */
void deployment_evidence_begin_step(struct supervisor *sup);

/* Reads the running totals: of connections, those of the workers that are in their slots; of
 * responses, those of all workers of a version. @ret_why: why they are not counted. */
enum deployment_evidence_outcome deployment_evidence_read(const struct supervisor *sup,
                                                          struct verdict_counts *ret,
                                                          const char **ret_why);
