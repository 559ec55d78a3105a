/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of a PM2 app that concern neither its program nor its environment. */
#pragma once

#include "config/pm2_app.h"

/* Whether PM2 has the option. */
bool pm2_options_is_known(const char *key);

/* Sets the user and the group. To be called first: the rest needs their rights. */
void pm2_options_set_user(struct pm2_app *app);

/* Sets every other option. To be called after pm2_own_set(), pm2_command_set() and pm2_env_set().
 * An option without a counterpart, or an unknown one, is a warning. */
void pm2_options_set(struct pm2_app *app);
