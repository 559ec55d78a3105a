/* SPDX-License-Identifier: BSD-2-Clause */
/* The log files of a PM2 app. */
#pragma once

#include "config/pm2_app.h"

/* Sets @option to a file name, which is relative to the app's folder. ~ is the user's home, and
 * NULL means /dev/null. */
void pm2_logs_set_file(struct pm2_app *app, const char *key, const char *option,
                       struct json_object *value);

/* Sets what depends on all of out_file, error_file and instances: log_file, disable_logs and
 * merge_logs. */
void pm2_logs_set(struct pm2_app *app);
