/* SPDX-License-Identifier: BSD-2-Clause */
/* What is counted of both versions of a deployment that is under way. */
#pragma once

#include "core/verdict.h"
#include "supervise/types.h"

enum deployment_evidence_outcome {
	DEPLOYMENT_EVIDENCE_COUNTED,
	DEPLOYMENT_EVIDENCE_NOT_COUNTED, /* connections are not counted, or some are missing */
};

/* Reads the running totals of the workers that are in their slots. @ret_why: why they are not
 * counted. */
enum deployment_evidence_outcome deployment_evidence_read(const struct supervisor *sup,
                                                          struct verdict_counts *ret,
                                                          const char **ret_why);
