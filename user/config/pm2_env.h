/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment of a PM2 app. */
#pragma once

#include "config/pm2_app.h"

/* Sets env, env_NAME and port in config->env. */
void pm2_env_set(struct pm2_app *app);
