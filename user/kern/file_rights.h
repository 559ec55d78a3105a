/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rights of another user for files, for a while. What we do for a worker with files that its
 * user can change, we do with the rights of this user: the user may have put a link there.
 */
#pragma once

#include <linux/capability.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "kern/credentials.h"

#define _cleanup_file_rights_ _cleanup_(file_rights_restore)

/* What the thread had before. Begins zeroed. */
struct file_rights {
	bool assumed;
	gid_t *groups;
	int n_groups;
	uid_t uid;
	gid_t gid;
	struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
};

/* Whether we could have the rights of other users: then their files must not decide which. */
bool file_rights_may_assume(void);

/*
 * Gives this thread, and no other one, the rights of @id for files: its user and groups, and no
 * capability. Changes nothing if @id names no user, or our own. Returns 0, or a negative errno with
 * nothing changed: -EPERM if we may not become another user. In any case the caller calls
 * file_rights_restore().
 */
int file_rights_assume(struct file_rights *own, const struct credentials *id);
void file_rights_restore(struct file_rights *own);
