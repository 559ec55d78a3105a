/* SPDX-License-Identifier: BSD-2-Clause */
/* The user and groups that a worker runs as, from the user database. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct credentials {
	bool set_user, set_group;
	bool limited; /* for log_file_open(): only with the rights of the user. Set by the caller.
	               */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary groups */
	int n_groups;
	/* Of the user; NULL if unknown, or if no user was named. */
	char *name, *home, *shell;
};

/*
 * Looks up @user and @group: names or numbers; NULL = ours. A user gets all its groups; a group
 * alone is the only group. *id must be zeroed; the caller calls credentials_deinit(), also after a
 * failure. error_usage() for an unknown name, or for a numeric user without an entry and without
 * @group.
 */
int credentials_find(struct credentials *id, const char *user, const char *group,
                     struct error *err);
void credentials_deinit(struct credentials *id);

/* The same from @identity, a text of credentials_format(), without a wait for the user database; if
 * it is NULL, by credentials_find(). */
int credentials_take(struct credentials *id, const char *user, const char *group,
                     const char *identity, struct error *err);

/* Looks up @user and @group, and returns all that credentials_take() needs, to be freed. NULL if
 * neither is given, or if one is unknown. */
char *credentials_format(const char *user, const char *group);

/* Whether the group is the main group or a supplementary group of @id. */
bool credentials_has_group(const struct credentials *id, gid_t gid);

/* Check a user, or a group, like credentials_find(); NULL is fine. */
int credentials_check_user(const char *user, const char *group, struct error *err);
int credentials_check_group(const char *group, struct error *err);
