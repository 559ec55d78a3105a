/* SPDX-License-Identifier: BSD-2-Clause */
/* The other options of a PM2 app. */
#pragma once

#include "config/pm2_app.h"

/* Sets every option that is neither the program nor the environment, after those. Options that have
 * no counterpart, and unknown ones, are warnings. */
void pm2_options_set(struct pm2_app *app);
