/* SPDX-License-Identifier: BSD-2-Clause */
/* Which part of each worker's responses between two status views has status 5xx. */
#pragma once

#include <json-c/json.h>

#define ERROR_SHARE_KEY "errors_percent"

/* Adds the member ERROR_SHARE_KEY to the workers of @status that had the same process in @before
 * (NULL = there is none), and have sent responses since then. */
void error_share_add(struct json_object *status, struct json_object *before);
