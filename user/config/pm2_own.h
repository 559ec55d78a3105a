/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of `run` that PM2 does not have, in a PM2 file: spelled with underscores
 * (drain_timeout). A number without a unit is in milliseconds, as everywhere in the file.
 */
#pragma once

#include "config/option.h"
#include "config/pm2_app.h"

/* The option that a key of an app names; NULL if there is none. */
const struct option_row *pm2_own_find(const char *key);

/* Whether the app sets the option. */
bool pm2_own_has(const struct pm2_app *app, const char *key);

/* Sets the options that the app has. A wrong value is a problem of the app. */
void pm2_own_set(struct pm2_app *app);

/* Sets one of them again, after an option of PM2 has overwritten it. */
void pm2_own_set_again(struct pm2_app *app, const char *key);
