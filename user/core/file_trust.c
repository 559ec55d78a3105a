/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/file_trust.h"

#include <sys/stat.h>

/* In a folder with the sticky bit, such as /tmp, only the owners of files can replace them. The
 * mode of a link means nothing. */
static bool file_trust_is_open(mode_t mode)
{
	return !S_ISLNK(mode) && mode & (S_IWGRP | S_IWOTH) && !(S_ISDIR(mode) && mode & S_ISVTX);
}

bool file_trust_add(struct file_trust *trust, uid_t uid, gid_t gid, mode_t mode)
{
	const enum file_trust_verdict before = file_trust_verdict(trust);

	if (uid == 0 || uid == trust->self) {
		trust->many |= file_trust_is_open(mode);
	} else if (!trust->uid) {
		trust->uid = uid;
		trust->gid = gid;
	} else {
		trust->several |= trust->uid != uid;
	}
	return file_trust_verdict(trust) != before;
}

enum file_trust_verdict file_trust_verdict(const struct file_trust *trust)
{
	return trust->several ? FILE_TRUST_SEVERAL
	       : trust->uid   ? FILE_TRUST_USER
	       : trust->many  ? FILE_TRUST_MANY
	                      : FILE_TRUST_OURS;
}
