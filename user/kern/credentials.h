/* SPDX-License-Identifier: BSD-2-Clause */
/* Whom a worker runs as, by the user database. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct credentials {
	bool set_user, set_group;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones */
	int n_groups;
	/* Of the user; NULL: it isn't known, or no user was named. */
	char *name, *home, *shell;
};

/*
 * @user, @group: names or numbers; NULL = ours. A user comes with all its groups; a group alone
 * leaves none but itself. @id has zeros; credentials_deinit() is the caller's, also after a
 * failure.
 */
int credentials_find(struct credentials *id, const char *user, const char *group,
                     struct error *err);
void credentials_deinit(struct credentials *id);

/* Whether they are known, by name or number; NULL: there is none to look up. A user that is only a
 * number needs a group. error_usage() if not. */
int credentials_check_user(const char *user, const char *group, struct error *err);
int credentials_check_group(const char *group, struct error *err);
