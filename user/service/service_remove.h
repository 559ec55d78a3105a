/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a service: its groups go back to the kernel's hash, and its pins are removed. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "service/service.h"

enum service_remove_outcome {
	SERVICE_REMOVED,
	/* Only with force: the pins are removed, but a group is unknown or could not be reached,
	 * and keeps its program until its listeners close. */
	SERVICE_GROUPS_LEFT,
};

/*
 * Takes the program off every group and removes all pins of a locked service. Continues where a
 * killed attach or detach has stopped. With @force removes damaged pins too. Returns an enum
 * service_remove_outcome, or a negative errno with @err set.
 */
int service_remove(struct service *service, bool force, struct error *err);
