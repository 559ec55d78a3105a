/* SPDX-License-Identifier: BSD-2-Clause */
/* The environment that a program of a user begins with. */
#pragma once

#include "kern/credentials.h"

/*
 * Our own environment, without the variables that are meant for us, if @id names no user or our
 * own. Another user gets a clean one, as from systemd: of our variables only PATH, TZ and the
 * language (LANG, LANGUAGE, LC_...). A user that is named also has USER, LOGNAME, HOME and SHELL
 * from the user database. Returns a vector to be freed by strv_free(), or NULL if memory is short.
 */
char **user_env_new(const struct credentials *id);
