/* SPDX-License-Identifier: BSD-2-Clause */
/* Carries out the requests of control.h. */
#pragma once

#include "base/error.h"
#include "supervise/control.h"

/* The handler for control_new(). */
int control_request_handle(struct supervisor *sup, struct control_client *client,
                           const struct request *request, struct error *err);

/* Does what {"do": "reload"} does, for SIGHUP. Returns 0, or a negative errno with @err set. */
int control_request_reload(struct supervisor *sup, struct error *err);
