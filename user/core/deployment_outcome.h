/* SPDX-License-Identifier: BSD-2-Clause */
/* How a deployment has ended. */
#pragma once

enum deployment_outcome_kind {
	DEPLOYMENT_UNDER_WAY,
	DEPLOYMENT_PROMOTED,
	DEPLOYMENT_ABORTED,     /* by a person, or judged bad */
	DEPLOYMENT_ROLLED_BACK, /* the service has the version before again */
	DEPLOYMENT_FAILED,      /* the new version has never got a connection */
	DEPLOYMENT_OUTCOME_MAX,
};

/* In JSON and metrics; NULL: under way. */
const char *deployment_outcome_name(enum deployment_outcome_kind outcome);
