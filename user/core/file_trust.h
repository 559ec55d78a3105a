/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which user controls a file: may change it, or put another one into its place. The rule, for the
 * folders, the links and the file on a path (kern/file_owner.h walks along it).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum file_trust_verdict {
	FILE_TRUST_OURS,    /* only root and our own user */
	FILE_TRUST_USER,    /* one other user */
	FILE_TRUST_MANY,    /* a group, or all users, may change it */
	FILE_TRUST_SEVERAL, /* two other users */
};

/* Begins with @self set to our own uid, and zero otherwise. */
struct file_trust {
	uid_t self;
	uid_t uid; /* of the other user; 0 = none so far */
	gid_t gid; /* of that user's file or folder */
	bool many, several;
};

/* Adds the next part of the path, from "/" to the file. Returns whether this part has changed the
 * verdict. */
bool file_trust_add(struct file_trust *trust, uid_t uid, gid_t gid, mode_t mode);

/* A file of another user is this user's, even if others may change it: they get no more than the
 * rights of this user, and the user has let them. */
enum file_trust_verdict file_trust_verdict(const struct file_trust *trust);
