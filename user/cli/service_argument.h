/* SPDX-License-Identifier: BSD-2-Clause */
/* The name of a service on the command line. */
#pragma once

#include "base/error.h"

/* Checks the name. If it is no valid one, it may be the name of an app of a PM2 file, such as
 * @acme/my-api: then sets *ret to the name of the app's service, if there is one; otherwise to
 * @given. *ret is valid until the next call. error_usage() if the name is wrong. */
int service_argument_find(const char *given, const char **ret, struct error *err);
