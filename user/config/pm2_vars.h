/* SPDX-License-Identifier: BSD-2-Clause */
/* The variables that PM2 itself gives its processes. */
#pragma once

#include "config/pm2_app.h"

/* Sets increment_var and instance_var, and the variables that programs look at to find out under
 * which name they run: name, namespace, pm_id, exec_mode, instances and the paths. Variables of the
 * app's env take precedence, as in PM2. To be called after pm2_options_set(). */
void pm2_vars_set(struct pm2_app *app);
