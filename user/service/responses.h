/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the HTTP responses of a service's workers in the kernel, by worker and version, while the
 * programs of http.bpf.c are attached to the workers' cgroup (kern/http.h). They can be attached
 * and detached at any time. response_stats.h reads the counts.
 *
 * A worker's responses are counted by its generation, as its connections are, and each generation
 * belongs to a version. The counts of a version only grow as long as the programs stay attached,
 * also when its workers end and others take their place.
 *
 * The service is open and locked.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "service/service.h"

/*
 * Begins to count, all from 0; does nothing if responses are counted already. @cgroup: descriptor
 * of the cgroup of the service's workers, or -1 to find it: the one that has all of their
 * listeners. Responses on connections from before are counted, too, from their next request on.
 * Returns 0, or a negative errno with @err set: then nothing is counted, and nothing is left. Needs
 * the counts of connections (no --no-count).
 */
int responses_begin(struct service *service, int cgroup, struct error *err);

/* Stops counting: detaches the programs, and forgets the counts. */
void responses_end(struct service *service);

/* For admit() and schedule_commit(); each does nothing if responses are not counted. The version of
 * a generation's responses from now on; the same for the workers in all slots of @schedule, which
 * is in force or comes in force next. Where @schedule replaces a worker, the slot is left out:
 * admit() has set the version of the newcomer, and the former worker keeps its own. */
void responses_set_version(struct service *service, uint16_t generation, const char *label);
void responses_set_versions(struct service *service, const struct rpd_schedule *schedule);

/* Ends the counts of a generation, before another worker gets it: they count as past ones of their
 * version. */
void responses_keep_past(struct service *service, uint16_t generation);

/* The same for an attached service that has got another worker: if the worker is in a cgroup where
 * its responses are not counted, counts them from now on. */
void responses_cover(struct service *service);
