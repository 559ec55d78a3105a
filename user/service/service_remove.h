/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a service: its groups go back to the kernel's hash, and its pins are removed. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "kern/in_force.h"
#include "service/service.h"

enum service_remove_outcome {
	SERVICE_REMOVED,
	/* The pins are removed, but a group is unknown (only with force) or could not be reached,
	 * and keeps its program until its listeners close. */
	SERVICE_GROUPS_LEFT,
};

/* SERVICE_GROUPS_LEFT, for messages. */
#define SERVICE_REMOVE_LEFT                                                                        \
	"a group can't be identified or reached any more; it stays steered until its listeners "   \
	"close"

/*
 * Takes our program off every group and removes all pins of a locked service. A program that has
 * replaced ours stays. @ret_found: what the groups had before; may be NULL. Continues where a
 * killed attach or detach has stopped. With @force removes damaged pins too. Returns an enum
 * service_remove_outcome, or a negative errno with @err set.
 */
int service_remove(struct service *service, bool force, struct in_force *ret_found,
                   struct error *err);
