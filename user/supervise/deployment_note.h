/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes down the deployment of a service, for people and for the next supervisor
 * (service/deployment_file.h). */
#pragma once

#include "supervise/deployment_state.h"
#include "supervise/types.h"

struct json_object;

/* The part for people. The caller owns it. */
struct json_object *deployment_note_new_view(const struct supervisor *sup,
                                             const struct deployment *it);

/* Replaces the file of the present deployment. A failure is logged. */
void deployment_note_write(struct supervisor *sup);

/* Adds the deployment, which has ended, to the history. */
void deployment_note_add_to_history(struct supervisor *sup);

/* Removes what is written down: the service ends, or is a new one. */
void deployment_note_forget(const struct supervisor *sup);
