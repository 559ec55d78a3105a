/* SPDX-License-Identifier: BSD-2-Clause */
/* `detach`: ends a service. Its workers keep running, and the kernel's hash chooses among them. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "service/service_remove.h"

struct detach_result {
	char name[RPD_LABEL_MAX];
	char *notes;   /* groups where our program was not in force, a line each, or NULL */
	bool replaced; /* such a group has another program, which stays */
};

#define _cleanup_detach_ __attribute__((cleanup(detach_free)))

/*
 * Removes service @name (NULL: the only one), whatever its state. The caller frees @ret with
 * detach_free(), also on failure.
 * Refuses a service that is run, as its workers would be left without a supervisor; with @force
 * only while the supervisor lives. Returns an enum service_remove_outcome, or a negative errno with
 * @err set.
 */
int detach(const char *name, bool force, struct detach_result *ret, struct error *err);

void detach_free(struct detach_result *result);
