/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As which user the services of a configuration file may run: a file can't give its owner the
 * rights of another user.
 */
#pragma once

#include "config/load.h"

/*
 * Finds out whether another user controls file->path, if we may run workers as any user. Then fills
 * *owner, and sets file->owner to it. error_usage() if the file can't be reached, or if several
 * users control it and file->user is NULL.
 */
int file_user_find_owner(struct load_file *file, struct file_owner *owner, struct error *err);

/*
 * Sets the user and group of a service: those of the command line; or those of the file; or the
 * user that controls the file. Reports what this user may not set, as run_config_report_problems()
 * does.
 */
void file_user_set(const struct load_file *file, struct run_config *config,
                   void (*report)(void *data, const char *option, const char *text), void *data);
