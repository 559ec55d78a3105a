/* SPDX-License-Identifier: BSD-2-Clause */
/* The spellings of a key: PM2 knows max_restarts and maxRestarts, and we know max-restarts. */
#pragma once

#include <json-c/json.h>

/* Renames keys of an app, which may be another value than an object, to the spelling with
 * underscores if they are known in it and the app does not have that key as well. */
void pm2_key_unify(struct json_object *app);
