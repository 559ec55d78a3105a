/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the supervisor notes of a deployment, in the run directory of the service: deployment.json
 * has the one under way, or the last one; deployments.jsonl has the ended ones, one a line,
 * the oldest first. The supervisor replaces the files as a whole, so they are read without a lock.
 *
 * A deployment is {id, service, strategy, phase, outcome, changed, old, new, step, steps, share,
 * workers, of, began_at, step_began_at, step_ends_at, ended_at, held_until, seconds, reason,
 * verdict, signals}. Times are in seconds since the epoch; shares are of the new version, in
 * percent. The member "state" is for the next supervisor, and is left out here.
 */
#pragma once

#include <json-c/json.h>

#include "base/error.h"

#define DEPLOYMENT_FILE         "deployment.json"
#define DEPLOYMENT_FILE_HISTORY "deployments.jsonl"
#define DEPLOYMENT_FILE_MAX     (1 << 20) /* bytes of either file */

/* Reads the deployment under way, or the last one. Returns 0 and *ret, which the caller owns
 * (json_object_put()), DEPLOYMENT_NONE, or a negative errno with @err set. */
int deployment_file_read(const char *service, struct json_object **ret, struct error *err);

/* The same, with the member "state". */
int deployment_file_read_whole(const char *service, struct json_object **ret, struct error *err);

/* The same for the deployments that have ended, as an array, which may be empty. */
int deployment_file_read_history(const char *service, struct json_object **ret, struct error *err);

/* The same for them, with the member "state" of each. */
int deployment_file_read_whole_history(const char *service, struct json_object **ret,
                                       struct error *err);

/* Refuses with -EBUSY, and names the deployment that is under way. */
int deployment_file_require_none(const char *service, struct error *err);

enum deployment_outcome {
	DEPLOYMENT_NONE = 1, /* the service has had no deployment */
};
