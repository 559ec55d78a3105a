/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/file_rights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct __user_cap_header_struct file_rights_header(void)
{
	return (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
}

static int file_rights_save(struct file_rights *own)
{
	struct __user_cap_header_struct header = file_rights_header();
	const int n = getgroups(0, NULL);

	if (n < 0 || syscall(SYS_capget, &header, own->capabilities) < 0)
		return -errno;
	own->groups = calloc((size_t)n + 1, sizeof(*own->groups));
	if (!own->groups)
		return -ENOMEM;
	own->n_groups = getgroups(n, own->groups);
	own->uid = (uid_t)setfsuid((uid_t)-1); /* -1 changes nothing */
	own->gid = (gid_t)setfsgid((gid_t)-1);
	return own->n_groups < 0 ? -errno : 0;
}

/* If our own uid isn't 0, the kernel leaves us capabilities such as CAP_DAC_READ_SEARCH. */
static int file_rights_drop_capabilities(const struct file_rights *own)
{
	struct __user_cap_header_struct header = file_rights_header();
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	memcpy(data, own->capabilities, sizeof(data));
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = 0;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

bool file_rights_may_assume(void)
{
	struct __user_cap_header_struct header = file_rights_header();
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return geteuid() == 0 || syscall(SYS_capget, &header, data) < 0 ||
	       data[0].effective & 1u << CAP_SETUID;
}

/* libc's setgroups() would change all threads. */
int file_rights_assume(struct file_rights *own, const struct credentials *id)
{
	int r;

	if (!id->set_user || id->uid == geteuid())
		return 0;
	r = file_rights_save(own);
	if (r == 0 && syscall(SYS_setgroups, id->n_groups, id->groups) < 0)
		r = -errno;
	if (r < 0) {
		free(own->groups);
		own->groups = NULL;
		return r;
	}
	own->assumed = true;
	setfsgid(id->gid);
	setfsuid(id->uid);
	if ((uid_t)setfsuid((uid_t)-1) != id->uid || (gid_t)setfsgid((gid_t)-1) != id->gid)
		r = -EPERM;
	else
		r = file_rights_drop_capabilities(own);
	if (r < 0)
		file_rights_restore(own);
	return r;
}

void file_rights_restore(struct file_rights *own)
{
	struct __user_cap_header_struct header = file_rights_header();

	if (!own->assumed)
		return;
	own->assumed = false;
	setfsuid(own->uid);
	/* The capabilities first: setgroups() needs one of them. With another user's rights we must
	 * not go on. */
	if (syscall(SYS_capset, &header, own->capabilities) < 0)
		abort();
	setfsgid(own->gid);
	if (syscall(SYS_setgroups, own->n_groups, own->groups) < 0)
		abort();
	free(own->groups);
	own->groups = NULL;
}
