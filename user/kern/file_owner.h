/* SPDX-License-Identifier: BSD-2-Clause */
/* Which user controls a file (core/file_trust.h). */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/file_trust.h"

struct file_owner {
	enum file_trust_verdict verdict;
	/* With FILE_TRUST_USER: the user, by name if it has one; and, for a user without an entry
	 * in the user database, the group of its file, otherwise "". */
	char user[256], group[16];
	uid_t uid;
	/* The file or folder that has decided the verdict; "" with FILE_TRUST_OURS. */
	char where[PATH_MAX];
};

/* Walks along the path, and along the links on it. Returns 0, or a negative errno with
 * error_usage() if the file can't be reached. */
int file_owner_find(const char *path, struct file_owner *ret, struct error *err);

/* The same for a folder. */
int file_owner_find_folder(const char *path, struct file_owner *ret, struct error *err);

/* The group to look the user up with (credentials_find()), or NULL. */
const char *file_owner_group(const struct file_owner *owner);
