/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the counts of the HTTP responses of a service's workers, and of their times (responses.h).
 *
 * The service is open; a lock is not needed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/response_count.h"
#include "service/service.h"

/* Whether responses are counted: the programs are attached. */
bool response_stats_are_counted(const struct service *service);

/* Reads the counts of one generation; all 0 if it has had none, or responses are not counted.
 * @ret_rate: final responses a second, over the last seconds; may be NULL. Returns 0 or a negative
 * errno. */
int response_stats_of_generation(const struct service *service, uint16_t generation,
                                 struct response_count *ret, double *ret_rate);

/* The counts of one version. */
struct version_responses {
	char label[RPD_LABEL_MAX]; /* "": the worker of the connection is not known */
	struct response_count count;
};

/* Reads the counts of all versions, each once, in no order; the caller frees *ret. Empty if
 * responses are not counted. Returns 0 or a negative errno. */
int response_stats_of_versions(const struct service *service, struct version_responses **ret,
                               size_t *ret_n);

/* The counts of one version in such a list; all 0 if it has had none. */
struct response_count response_stats_find(const struct version_responses *list, size_t n,
                                          const char *label);
