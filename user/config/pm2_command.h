/* SPDX-License-Identifier: BSD-2-Clause */
/* The program of a PM2 app, found as PM2 finds it. */
#pragma once

#include "config/pm2_app.h"

/* Sets config->argv and config->cwd from script, args, interpreter, node_args and cwd. Problems are
 * the app's. */
void pm2_command_set(struct pm2_app *app);
