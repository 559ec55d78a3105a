/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A deployment: a new version of the service beside the old one, which gets its connections step by
 * step (core/rollout.h), and an instant way back. reload.h carries the steps out.
 *
 * Functions that return int return 0, or a negative errno with @err set, and have then changed
 * nothing.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/deploy_settings.h"
#include "core/rollout.h"
#include "supervise/types.h"

/* What to deploy, and how. */
struct deployment_order {
	struct plan *plan; /* of another version than the service's */
	const struct deploy_settings *settings;
	char *const *words; /* that the settings were made of, beside the plan; may be NULL */
	bool goes_back;     /* to the version before */
};

/* Checks what does not depend on a deployment under way. error_usage() with bad settings. */
int deployment_check(const struct supervisor *sup, const struct deployment_order *order,
                     struct error *err);

/* Begins a deployment. It may end, or fail, before this returns: sup->deployment has the outcome.
 */
int deployment_begin(struct supervisor *sup, const struct deployment_order *order,
                     struct error *err);

/* Makes a deployment of @order that has not begun. */
int deployment_new(struct supervisor *sup, const struct deployment_order *order,
                   struct deployment **ret, struct error *err);

/* It is the service's from now on, in place of the last one, which is freed. */
void deployment_replace(struct supervisor *sup, struct deployment *it);

/* Goes on with sup->deployment, which an earlier supervisor has brought as far as @rollout. @plan:
 * of the workers that are new there. */
int deployment_go_on(struct supervisor *sup, struct plan *plan, const struct rollout *rollout,
                     struct error *err);

void deployment_free(struct deployment *it);

/* Lets the step pass, and ends a pause. @full: and all further steps. */
int deployment_promote(struct supervisor *sup, bool full, struct error *err);

/* Holds the share where it is. */
int deployment_pause(struct supervisor *sup, struct error *err);

/* All new connections to the old version. @why: for people; may be empty. */
int deployment_abort(struct supervisor *sup, const char *why, struct error *err);

/* A worker of the new version is unhealthy: that is bad at once, if the step is judged. Returns
 * whether it is. */
bool deployment_note_unhealthy(struct supervisor *sup, unsigned int slot, const char *why);

/* The service is being stopped, or the supervisor leaves it: nothing is done for the deployment any
 * more. */
void deployment_drop(struct supervisor *sup);
