/* SPDX-License-Identifier: BSD-2-Clause */
/* The plan that a request to reload or to deploy asks for. */
#pragma once

#include "base/error.h"
#include "core/request.h"
#include "supervise/types.h"

/* Makes a plan of the configuration file, or of the present plan, with the command and label of the
 * request. Refuses changes of the service itself. @of_file: the configuration as the file has it
 * now; NULL: it is not read. Returns 0, or a negative errno with @err set. */
int plan_request_make(struct supervisor *sup, const struct request *request,
                      const struct run_config *of_file, struct plan **ret, struct error *err);
