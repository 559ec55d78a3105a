/* SPDX-License-Identifier: BSD-2-Clause */
/* Follows a deployment by the file that the supervisor writes, until it has ended or waits for a
 * person. If another supervisor takes the service over, it goes on with the file. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* The exit statuses of commands that follow a deployment, beside those of base/error.h. */
enum deploy_follow_status {
	DEPLOY_FOLLOW_TIME_OVER = 3, /* the deployment goes on */
	DEPLOY_FOLLOW_BAD = 4,       /* judged bad: the old version has all connections again */
	DEPLOY_FOLLOW_WAITS = 5,     /* for a person */
};

struct deploy_follow {
	const char *service;
	int64_t id;      /* of the deployment; 0 = the one that is in the file */
	int64_t timeout; /* nanoseconds; -1 = no limit */
	bool json;       /* print only the deployment as it is at the end, as JSON */
};

/* Prints the progress: on a terminal in place, otherwise a line for each change. Returns 0 if the
 * new version was promoted or an old one was rolled back to. Otherwise a negative errno, with @err
 * and its status set. */
int deploy_follow(const struct deploy_follow *follow, struct error *err);
